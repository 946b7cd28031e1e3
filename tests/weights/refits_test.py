"""Kernels that are made to read other channels and other patches."""

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.layers import interpolation_matrix
from keras_vit.weights.load import load_weights
from keras_vit.weights.refits import adapt_channels, resize_kernel

KERNEL = np.random.default_rng(0).normal(size=(16, 3, 5)).astype("float32")


@pytest.mark.parametrize(
    ("count", "sources", "scale"),
    [(4, (0, 1, 2, 0), 3 / 4), (2, (0, 1), 3 / 2), (7, (0, 1, 2, 0, 1, 2, 0), 3 / 7)],
)
def test_more_channels_are_read_as_the_stored_ones_in_turn(count, sources, scale):
    made = adapt_channels(KERNEL, count)
    np.testing.assert_allclose(made, KERNEL[:, list(sources)] * scale, rtol=1e-6)


def test_one_channel_is_read_as_all():
    np.testing.assert_allclose(adapt_channels(KERNEL, 1)[:, 0], KERNEL.sum(1), rtol=1e-6)
    grey = np.random.default_rng(1).normal(size=(1, 5)).astype("float32")
    back = adapt_channels(grey[:, None], 3)
    np.testing.assert_allclose(back.sum(1), grey, rtol=1e-6)


def test_channels_that_are_read_as_one_share_its_weights():
    made = adapt_channels(KERNEL, 5, (2, None, 0, 2, 1))
    np.testing.assert_array_equal(made[:, 1], 0)
    np.testing.assert_array_equal(made[:, 2], KERNEL[:, 0])
    np.testing.assert_allclose(made[:, [0, 3]].sum(1), KERNEL[:, 2], rtol=1e-6)


@pytest.mark.parametrize("side", [4, 7, 12])
def test_an_enlarged_patch_gives_what_the_patch_gave(side):
    kernel = KERNEL.reshape(4, 4, 15)
    patch = np.random.default_rng(1).normal(size=(4, 4))
    matrix = np.asarray(
        keras.ops.convert_to_numpy(interpolation_matrix(side, 4, "bicubic_antialias"))
    )
    large = matrix @ patch @ matrix.T
    made = resize_kernel(kernel, side)
    expected = np.einsum("ab,abv->v", patch, kernel)
    np.testing.assert_allclose(np.einsum("ab,abv->v", large, made), expected, atol=1e-4)


def test_a_checkpoint_is_loaded_for_other_channels_and_patches(golden):
    source = golden("timm/vit").source
    plain = from_checkpoint(source, num_heads=2)
    size, patch = plain.config.image_size[0], plain.config.patch_size
    grey = from_checkpoint(source, num_heads=2, input_shape=(size, size, 1))
    images = np.random.default_rng(0).normal(size=(2, size, size, 1)).astype("float32")
    expected = keras.ops.convert_to_numpy(plain(np.repeat(images, 3, -1)))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(grey(images)), expected, atol=1e-5)
    report = load_weights(grey, source, channels=[2])
    assert "channels 3 -> 1, (2,)" in str(report)
    assert report.resized == ("patch_encoder/projection/kernel",)

    red = from_checkpoint(source, num_heads=2, input_shape=(size, size, 1), channels=[0])
    colours = np.concatenate([images, np.zeros((2, size, size, 2), "float32")], axis=-1)
    expected = keras.ops.convert_to_numpy(plain(colours))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(red(images)), expected, atol=1e-5)

    small = from_checkpoint(source, num_heads=2, patch_size=patch // 2)
    assert small.config.image_size == plain.config.image_size
    assert small.config.grid_size == tuple(2 * side for side in plain.config.grid_size)
    report = load_weights(small, source)
    assert "position_embedding: resized" in str(report)
    assert f"patch {patch}x{patch} -> {patch // 2}x{patch // 2} (pseudo-inverse)" in str(report)
    with pytest.raises(ValueError, match="`channels` as 1 numbers from 0 to 2"):
        load_weights(grey, source, channels=[0, 3])
