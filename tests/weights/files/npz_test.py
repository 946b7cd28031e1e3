import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from keras_vit.weights.files.npz import NpzFile


def _npy(array, shape=None, dtype=None):
    """The bytes of a .npy member, with a header that may lie."""
    header = {
        "descr": dtype or np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape if shape is None else shape,
    }
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + array.tobytes()


def _zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(path, save):
    rng = np.random.default_rng(0)
    arrays = {
        "a/kernel": rng.normal(size=(300, 700)).astype("float32"),
        "a/bias": rng.normal(size=(7,)).astype("float32"),
        "scalar": np.float32(3),
        "empty": np.zeros((0, 4), "float32"),
        "turned": np.asfortranarray(rng.normal(size=(5, 6, 7)).astype("float32")),
    }
    save(path, **arrays)
    file = NpzFile(path)
    assert {name: spec.shape for name, spec in file.specs.items()} == {
        name: np.shape(array) for name, array in arrays.items()
    }
    for name, array in arrays.items():
        np.testing.assert_array_equal(file.read(name), array)


def test_what_others_write_reads_the_same_as_what_numpy_writes(path):
    """Another name, header or order of its words: `zipfile` reads what is not as NumPy has it."""
    array = np.arange(6, dtype="float32").reshape(2, 3)
    header = "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}\n"
    members = [("ä.npy", _npy(array)), ("b.npy", _headed(header) + array.tobytes())]
    file = NpzFile(_zip(path, [*members, ("c.npy", _npy(array))]))
    assert [file._members[name].place is None for name in file.specs] == [True, True, False]
    for name in file.specs:
        np.testing.assert_array_equal(file.read(name), array)


def test_a_file_that_is_cut_off_after_it_was_opened_is_refused(path):
    np.savez(path, a=np.arange(5000, dtype="float32"))
    file = NpzFile(path)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ValueError, match=r"weights\.npz.*'a\.npy' cannot be read.*cut off"):
        file.read("a")


def test_half_and_double_become_float32(path):
    import ml_dtypes

    values = np.array([1.5, -0.25, 3e-5, 65504], "float32")
    np.savez(
        path,
        half=values.astype("float16"),
        brain=values.astype(ml_dtypes.bfloat16),
        double=values.astype("float64"),
        swapped=values.astype(">f4"),
        steps=np.array([1, 2]),
    )
    file = NpzFile(path)
    assert {name: spec.dtype for name, spec in file.specs.items()} == {
        "half": "float16", "brain": "bfloat16", "double": "float64", "swapped": "float32",
        "steps": "int64",
    }  # fmt: skip
    for name, expected in (
        ("half", values.astype("float16")),
        ("brain", values.astype(ml_dtypes.bfloat16)),
        ("double", values),
        ("swapped", values),
    ):
        array = file.read(name)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected.astype("float32"))
    with pytest.raises(ValueError, match="floating point numbers in 'steps'.*int64"):
        file.read("steps")


def test_a_missing_file_says_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        NpzFile(tmp_path / "nowhere.npz")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="folder"):
        NpzFile(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"not a zip file at all", "BadZipFile"),
        (b"\x93NUMPY\x01\x00", "BadZipFile"),
    ],
)
def test_what_is_no_archive_is_refused_by_name(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"weights.npz.*{message}"):
        NpzFile(path)


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_file_is_refused(path, part):
    np.savez(path, a=np.arange(5000, dtype="float32"), b=np.arange(5000, dtype="float32"))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=r"weights\.npz"):
        NpzFile(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_anywhere_is_an_error_or_harmless(path, save):
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=40_000).astype("float32"), "b": np.arange(40, dtype="float16")}
    save(path, **arrays)
    content = path.read_bytes()
    refused = 0
    positions = [*range(0, len(content), 1999), *range(len(content) - 400, len(content), 3)]
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        try:
            file = NpzFile(path)
            read = {name: file.read(name) for name in file.specs}
        except ValueError as error:
            assert "weights.npz" in str(error)
            refused += 1
            continue
        # What the flip hit is no part of an array: times, versions, names that nobody asks for.
        for name in read.keys() & arrays.keys():
            np.testing.assert_array_equal(read[name], arrays[name])
    assert refused > 0.4 * len(positions)


def test_pickles_are_never_read(path):
    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    np.savez(path, a=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match="could run code and is never read"):
        NpzFile(path)
    path.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(ValueError, match="BadZipFile"):
        NpzFile(path)


def _headed(text):
    """The bytes of a .npy member with this text for a header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n\"\"\"",  # TokenError
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 3: 0}",  # TypeError
        "{[]: 0}",  # TypeError
        "(" * 9000 + ")" * 9000,  # MemoryError or RecursionError
        "-" * 9000 + "1",  # RecursionError
        "{'descr': {1: 2}, 'fortran_order': False, 'shape': (2,), }",
        "{'descr': [()], 'fortran_order': False, 'shape': (2,), }",
        "__import__('os').system('true')",
        "1" * 5000,
        "\x00",
    ],
)
def test_whatever_a_header_says_is_one_error_that_names_file_and_member(path, header):
    _zip(path, [("a.npy", _headed(header) + bytes(8))])
    with pytest.raises(ValueError, match=r"weights\.npz.*'a\.npy' is no \.npy array"):
        NpzFile(path)


def test_more_arrays_than_any_model_has_are_refused_before_one_is_looked_at(path):
    _zip(path, [(f"{index}.npy", b"") for index in range(20_001)])
    with pytest.raises(ValueError, match=r"weights\.npz.*20001 arrays"):
        NpzFile(path)


def test_records_are_refused(path):
    np.savez(path, a=np.zeros(3, dtype=[("x", "f4"), ("y", "f4")]))
    with pytest.raises(ValueError, match="dtype"):
        NpzFile(path)


def test_a_header_that_promises_more_than_is_there_is_refused(path):
    _zip(path, [("a.npy", _npy(np.zeros(4, "float32"), shape=(2**33,)))])
    with pytest.raises(ValueError, match="promises 34359738368 bytes and holds 16"):
        NpzFile(path)


@pytest.mark.parametrize("shape", [(-1,), (2**62, 2**62), (2**63,), (0, 2**62), (1,) * 65])
def test_impossible_shapes_are_refused(path, shape):
    _zip(path, [("a.npy", _npy(np.zeros(4, "float32"), shape=shape))])
    with pytest.raises(ValueError, match=r"weights\.npz"):
        NpzFile(path)


def test_a_directory_that_promises_more_than_is_there_is_refused(path):
    """Header and directory agree on 32 GiB; the file has some bytes."""
    header = _npy(np.zeros(0, "float32"), shape=(2**33,))
    _zip(path, [("a.npy", header)], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    position = content.rindex(b"PK\x01\x02")
    content[position + 24 : position + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"would grow|promises"):
        NpzFile(path)


def test_a_bomb_is_refused_before_it_is_unpacked(path):
    member = _npy(np.zeros(2**18, "float32"))
    _zip(path, [("a.npy", member)], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    position = content.rindex(b"PK\x01\x02")
    content[position + 24 : position + 28] = struct.pack("<I", 2**29)  # said alone: quick to make
    path.write_bytes(content)
    with pytest.raises(ValueError, match="would grow to 536870912"):
        NpzFile(path)


def test_members_that_occur_twice_are_refused(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        _zip(path, [("a.npy", _npy(np.zeros(2, "float32")))] * 2)
    with pytest.raises(ValueError, match="twice.*a.npy"):
        NpzFile(path)


def test_members_that_are_no_arrays_are_refused(path):
    _zip(path, [("evil.py", b"print('boom')")])
    with pytest.raises(ValueError, match="no array, 'evil.py'"):
        NpzFile(path)
    _zip(path, [("a.npy", b"print('boom')")])
    with pytest.raises(ValueError, match="no .npy array"):
        NpzFile(path)


def test_an_empty_archive_is_refused(path):
    _zip(path, [])
    with pytest.raises(ValueError, match="without arrays"):
        NpzFile(path)
