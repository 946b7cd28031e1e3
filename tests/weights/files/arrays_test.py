import numpy as np
import pytest

from keras_vit.weights.files.arrays import (
    ArrayFile,
    ArraySpec,
    broken,
    check_readable,
    empty,
    to_float32,
    unfit,
)


def test_bfloat16_is_the_upper_half_of_float32():
    import ml_dtypes

    values = np.random.default_rng(0).normal(size=(4, 5)).astype(ml_dtypes.bfloat16)
    stored = values.view(np.uint16)
    np.testing.assert_array_equal(to_float32(stored, "bfloat16"), values.astype("float32"))


def test_float32_is_not_copied():
    values = np.zeros(3, "float32")
    assert to_float32(values, "float32") is values


def test_a_spec_knows_its_size():
    assert ArraySpec((3, 4, 5), "float32").size == 60


def test_numbers_beyond_float32_become_infinite_and_not_a_warning():
    class Doubles(ArrayFile):
        def _read_raw(self, name):
            return np.array([1e300])

    file = Doubles("x", {"a": ArraySpec((1,), "float64")})
    assert np.isinf(file.read("a")[0])


class _Counted(ArrayFile):
    """Arrays "0", "1", ... of their own number; that of 3 cannot be read."""

    def __init__(self):
        super().__init__("counted", {str(n): ArraySpec((1,), "float32") for n in range(5)})
        self.read_so_far = []

    def _read_raw(self, name):
        self.read_so_far.append(name)
        if name == "3":
            raise broken(self.path, "a hole")
        return np.array([float(name)], "float32")


def test_arrays_are_read_in_turn_two_ahead_and_an_error_comes_in_its_place():
    file = _Counted()
    arrays = file.read_each("20143")
    assert next(arrays)[0] == 2
    assert "2" in file.read_so_far and set(file.read_so_far) <= set("201")  # no further than two
    assert [next(arrays)[0] for _ in range(3)] == [0, 1, 4]
    with pytest.raises(ValueError, match="a hole"):
        next(arrays)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 1000)])
def test_an_array_to_fill_lies_where_it_can_be_taken(shape):
    arrays = [empty(shape, "<f2") for _ in range(5)]
    assert all(array.ctypes.data % 64 == 0 or not array.size for array in arrays)
    assert arrays[0].shape == shape and arrays[0].dtype == np.float16


def test_errors_say_file_and_a_remedy_that_is_one(tmp_path):
    assert "'x.npz'. Received: holes. If it was" in str(broken("x.npz", "holes"))
    assert str(unfit("x.npz", "a song")).endswith("'x.npz'. Received: a song.")
    (tmp_path / "page.npz").write_text("<!-- moved -->")
    with pytest.raises(ValueError, match="page.npz.*web page"):
        check_readable(tmp_path / "page.npz", "a .npz file")
