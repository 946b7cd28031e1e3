import pathlib

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint

_GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "golden"
_TOKEN = _GOLDEN / "google" / "vit_token" / "weights.npz"
_RESIZED = _GOLDEN / "timm" / "vit_resized_nonsquare" / "model.safetensors"


def _images(height=16, width=16, channels=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, height, width, channels)).astype("float32")


def test_builds_the_model_with_its_head_and_its_preprocessing():
    model = from_checkpoint(_TOKEN)
    assert model.output_shape == (None, 10)
    np.testing.assert_allclose(keras.ops.sum(model(_images()), axis=-1), 1, rtol=1e-5)
    assert model.preprocessing.size == (16, 16) and model.preprocessing.resize == "squash"


def test_without_the_top_it_returns_all_tokens_or_what_pooling_makes():
    assert from_checkpoint(_TOKEN, include_top=False).output_shape == (None, 17, 16)
    pooled = from_checkpoint(_TOKEN, include_top=False, pooling="avg")
    assert pooled.output_shape == (None, 16)


def test_another_number_of_classes_makes_a_fresh_head_of_zeros():
    model = from_checkpoint(_TOKEN, classes=3, classifier_activation=None)
    assert not np.any(model(_images()))
    same = from_checkpoint(_TOKEN, classes=10, classifier_activation=None)
    assert np.any(same(_images()))


def test_any_size_and_a_fixed_size_give_the_same():
    fixed = from_checkpoint(_TOKEN, input_shape=(8, 24, 3), classifier_activation=None)
    free = from_checkpoint(_TOKEN, input_shape=(None, None, 3), classifier_activation=None)
    assert free.input_shape == (None, None, None, 3)
    images = _images(8, 24)
    np.testing.assert_allclose(fixed(images), free(images), atol=1e-5)


def test_a_stored_grid_that_is_not_square_is_given_beside_the_size_wanted(tmp_path):
    from keras_vit.weights.save import save_checkpoint

    wide = from_checkpoint(_RESIZED, input_shape=(12, 24, 3), num_heads=2)
    path = save_checkpoint(wide, tmp_path / "wide.safetensors", "timm")
    expected = from_checkpoint(path, input_shape=(24, 24, 3))
    assert expected.config.grid_size == (6, 6)
    (tmp_path / "config.json").unlink()  # which tells the grid
    with pytest.warns(UserWarning, match="3 rows and 6 columns, which nothing tells"):
        again = from_checkpoint(path, input_shape=(12, 24, 3), num_heads=2)
    np.testing.assert_array_equal(again(_images(12, 24)), wide(_images(12, 24)))
    larger = from_checkpoint(path, stored_grid=(3, 6), input_shape=(24, 24, 3), num_heads=2)
    np.testing.assert_array_equal(larger(_images(24, 24)), expected(_images(24, 24)))
    with pytest.raises(ValueError, match="stored_grid"):
        from_checkpoint(path, input_shape=(24, 24, 3), num_heads=2)


def test_a_square_grid_is_resized_to_a_wide_one_of_as_many_patches():
    with pytest.warns(UserWarning, match="4 rows and 4 columns"):
        wide = from_checkpoint(_TOKEN, input_shape=(8, 32, 3))
    told = from_checkpoint(_TOKEN, input_shape=(8, 32, 3), stored_grid=(4, 4))
    np.testing.assert_array_equal(wide(_images(8, 32)), told(_images(8, 32)))
    assert np.any(
        wide(_images(8, 32))
        != from_checkpoint(_TOKEN, input_shape=(8, 32, 3), stored_grid=(2, 8))(_images(8, 32))
    )


def test_pixels_that_no_patch_sees_are_dropped_where_the_model_was_made_so():
    model = from_checkpoint(_GOLDEN.parent / "zoo" / "timm_not_divisible")
    assert model.input_shape == (None, 18, 18, 3) and model.config.grid_size == (4, 4)
    assert model.preprocessing.size == (18, 18)
    larger = from_checkpoint(_GOLDEN.parent / "zoo" / "timm_not_divisible", input_shape=(21, 18, 3))
    assert larger.config.grid_size == (5, 4)


def test_one_channel_is_read_as_all():
    grey = _images(channels=1)
    outputs = [
        keras.ops.convert_to_numpy(from_checkpoint(_TOKEN, input_shape=(16, 16, channels))(images))
        for channels, images in ((1, grey), (3, np.repeat(grey, 3, -1)))
    ]
    np.testing.assert_allclose(*outputs, atol=1e-6)


def test_overrides_reach_the_config_and_the_model():
    model = from_checkpoint(
        _TOKEN, dropout_rate=0.1, name="mine", gelu="erf", dtype="float32", trainable=False
    )
    assert (model.config.dropout_rate, model.config.gelu, model.name) == (0.1, "erf", "mine")
    assert not model.trainable_variables
    with pytest.raises(ValueError, match="gelu_kind"):
        from_checkpoint(_TOKEN, gelu_kind="erf")


def test_a_keras_file_brings_config_and_preprocessing(tmp_path):
    model = from_checkpoint(_TOKEN)
    model.save(tmp_path / "model.keras")
    again = from_checkpoint(tmp_path / "model.keras", input_shape=(24, 24, 3))
    assert again.config == model.config.replace(image_size=(24, 24))
    assert again.preprocessing.size == (24, 24)


def test_weights_alone_ask_for_a_model(tmp_path):
    from_checkpoint(_TOKEN).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="Build the model first"):
        from_checkpoint(tmp_path / "model.weights.h5")


def test_values_that_are_not_finite_are_an_error(tmp_path):
    with np.load(_TOKEN) as stored:
        arrays = dict(stored)
    arrays["cls"][...] = np.nan
    np.savez(tmp_path / "nan.npz", **arrays)
    with pytest.raises(ValueError, match="finite"):
        from_checkpoint(tmp_path / "nan.npz")


def test_missing_files_are_named():
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        from_checkpoint("nowhere.npz")
