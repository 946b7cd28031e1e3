import numpy as np
import pytest

from keras_vit.weights.forms import FORMS, Sizes, joined, parted

_SHAPES = {
    "same": (3, 4), "linear": (6, 4), "conv": (8, 3, 5, 5), "torch_patch": (6, 3, 4, 4),
    "flax_patch": (4, 4, 3, 6), "heads_kernel": (6, 2, 3), "heads_bias": (2, 3),
    "heads_output": (2, 3, 6), "flat": (8,), "token": (6,), "table": (5, 6),
    "columns_first": (2, 3, 4), "positions": (1, 5, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMS.keys() - {"without_keys"}))
def test_forms_come_back(name):
    stored = np.random.default_rng(0).normal(size=_SHAPES[name])
    form = FORMS[name]
    assert stored.ndim in form.ndims
    back = form.back(form.forward(stored), Sizes(patch_size=4, num_heads=2))
    np.testing.assert_array_equal(back, stored)


def test_a_bias_of_keys_that_does_not_count_is_zero():
    bias = FORMS["without_keys"].forward(np.arange(1.0, 7.0))
    np.testing.assert_array_equal(bias, [1, 2, 0, 0, 5, 6])


def test_patches_are_row_by_row_with_channels_last():
    flat = np.arange(4 * 4 * 3 * 2).reshape(4 * 4 * 3, 2)
    stored = FORMS["torch_patch"].back(flat, Sizes(4, 1))
    assert stored[1, 2, 0, 3] == flat[(0 * 4 + 3) * 3 + 2, 1]


def test_parts_are_cut_in_proportion():
    array = np.arange(18).reshape(2, 9)
    first, second = parted(array, (1, 2))
    assert first.shape == (2, 3) and second.shape == (2, 6)
    np.testing.assert_array_equal(joined([first, second]), array)
    with pytest.raises(ValueError, match="cut"):
        parted(array, (1, 1))
