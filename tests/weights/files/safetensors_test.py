import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_vit.weights.files.safetensors import (
    DTYPES,
    SafetensorsFile,
    ShardedFile,
    write_safetensors,
)


def _write(path, header, values=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_reads_what_the_library_writes(path):
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.normal(size=(30, 70)).astype("float32"),
        "half": rng.normal(size=(5,)).astype("float16"),
        "double": rng.normal(size=(5,)),
        "scalar": np.array(2.5, "float32"),
        "steps": np.arange(4),
    }
    save_file(arrays, path)
    file = SafetensorsFile(path)
    assert {n: (s.shape, s.dtype) for n, s in file.specs.items()} == {
        n: (a.shape, a.dtype.name) for n, a in arrays.items()
    }
    for name in ("a.weight", "half", "double", "scalar"):
        array = file.read(name)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[name].astype("float32"))
    with pytest.raises(ValueError, match="int64"):
        file.read("steps")


def test_bfloat16_becomes_float32(path):
    import ml_dtypes

    values = np.array([1.5, -3e-5, 1e30, 0.1], "float32").astype(ml_dtypes.bfloat16)
    entry = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
    _write(path, {"a": entry}, values.tobytes())
    expected = values.astype("float32").reshape(2, 2)
    np.testing.assert_array_equal(SafetensorsFile(path).read("a"), expected)


_FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ({"a": _FLOATS}, b"1234"),  # cut off
        ({"a": _FLOATS}, b"12345678901"),  # too long
        ({"a": {**_FLOATS, "shape": [2**33]}}, b"12345678"),  # promises 32 GiB
        ({"a": {**_FLOATS, "data_offsets": [0, 2**35]}}, b"12345678"),
        ({"a": {**_FLOATS, "data_offsets": [-8, 0]}}, b"12345678"),
        ({"a": {**_FLOATS, "dtype": "pickle"}}, b"12345678"),
        ({"a": _FLOATS, "b": _FLOATS}, b"12345678"),  # one on the other
        ({"a": 3}, b"12345678"),
        ([1, 2], b""),
        (b'{"a": {"dtype": "F32"', b""),
        (b"\xff\xfe\xfd", b""),
        ({}, b""),
        (b"[" * 100_000, b""),
        ({"a": {**_FLOATS, "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
        ({"a": {**_FLOATS, "shape": [2] + [1] * 64}}, b"12345678"),
    ],
)
def test_headers_that_do_not_fit_are_refused_by_name(path, header, values):
    _write(path, header, values)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        SafetensorsFile(path)


def test_a_name_that_occurs_twice_is_refused(path):
    entry = json.dumps(_FLOATS)
    _write(path, f'{{"a": {entry}, "a": {entry}}}'.encode(), b"12345678")
    with pytest.raises(ValueError, match="twice"):
        SafetensorsFile(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes"),
        (b"<html>not found</html>", "web page"),
        (b"1234", "4 bytes"),
        (struct.pack("<Q", 2**40) + b"{}", "header of 1099511627776 bytes"),
    ],
)
def test_what_is_no_such_file_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        SafetensorsFile(path)


def test_a_truncated_file_is_refused_at_every_length(path):
    save_file({"a": np.zeros(20, "float32"), "b": np.zeros(3, "float16")}, path)
    content = path.read_bytes()
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            SafetensorsFile(path)


def test_a_file_that_shrinks_after_it_was_opened_is_an_error(path):
    save_file({"a": np.zeros(20_000, "float32")}, path)
    file = SafetensorsFile(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cut off"):
        file.read("a")


@pytest.mark.parametrize("dtype", sorted(DTYPES.values()))
def test_every_dtype_is_written_and_read_and_the_library_agrees(path, dtype):
    import ml_dtypes  # noqa: F401 (knows bfloat16)
    from safetensors import safe_open

    values = np.arange(6).reshape(2, 3).astype(dtype)
    scalar = np.ones((), dtype)
    write_safetensors(path, {"b": values, "é": scalar, "0": np.zeros((0, 2), dtype)}, {"x": "y"})
    file = SafetensorsFile(path)
    assert file.metadata == {"x": "y"}
    for name, array in (("b", values), ("é", scalar)):
        assert file.stored(name).dtype == array.dtype
        np.testing.assert_array_equal(file.stored(name), array)
    with safe_open(path, framework="numpy") as library:
        assert set(library.keys()) == {"b", "é", "0"} and library.metadata() == {"x": "y"}
        assert library.get_slice("b").get_shape() == [2, 3]


def test_an_array_in_any_order_is_written_by_rows_and_wide_ones_are_aligned(path):
    values = np.arange(6, dtype="float32").reshape(2, 3)
    write_safetensors(path, {"mask": np.ones(3, bool), "t": values.T, "a": np.ones(1)})
    found = load_file(path)
    np.testing.assert_array_equal(found["t"], values.T)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    assert list(json.loads(content[8 : 8 + length])) == ["a", "t", "mask"]


def _shards(folder):
    save_file({"a": np.ones(2, "float32")}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": np.full(3, 2, "float32")}, folder / "model-00002-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    return folder / "model.safetensors.index.json", weight_map


def test_shards_are_read_as_one_file(tmp_path):
    index, weight_map = _shards(tmp_path)
    index.write_text(json.dumps({"weight_map": weight_map}))
    file = ShardedFile(index)
    np.testing.assert_array_equal(file.read("b"), [2, 2, 2])
    assert set(file.specs) == {"a", "b"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": "model-00001-of-00002.safetensors"}, "'b' is not in"),
        ({"b": "../secret.safetensors"}, "secret"),
        ({"b": "/etc/passwd"}, "passwd"),
        ({"b": "model-00002-of-00002.bin"}, "bin"),
        ({"b": None}, "None"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path, change, message):
    index, weight_map = _shards(tmp_path)
    index.write_text(json.dumps({"weight_map": {**weight_map, **change}}))
    with pytest.raises(ValueError, match=message):
        ShardedFile(index)


def test_an_index_without_an_array_of_its_shards_is_refused(tmp_path):
    index, weight_map = _shards(tmp_path)
    save_file({"b": np.ones(3), "head.weight": np.ones(2)}, tmp_path / weight_map["b"])
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match=r"index\.json.*'head\.weight'.*does not name"):
        ShardedFile(index)


def test_a_missing_shard_is_named(tmp_path):
    index, weight_map = _shards(tmp_path)
    index.write_text(json.dumps({"weight_map": {**weight_map, "c": "lost.safetensors"}}))
    with pytest.raises(FileNotFoundError, match="lost"):
        ShardedFile(index)


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"weight_map": []}', "{}"])
def test_a_broken_index_is_refused(tmp_path, content):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(ValueError, match=r"index\.json"):
        ShardedFile(index)
