import numpy as np
import pytest

from keras_vit.weights.files.arrays import ArrayFile, ArraySpec, broken, check_readable, to_float32


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


def test_errors_say_file_and_remedy(tmp_path):
    assert "'x.npz'. Received: holes. If it was" in str(broken("x.npz", "holes"))
    (tmp_path / "page.npz").write_text("<!-- moved -->")
    with pytest.raises(ValueError, match="page.npz.*web page"):
        check_readable(tmp_path / "page.npz", "a .npz file")
