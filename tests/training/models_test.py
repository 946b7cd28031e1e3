"""A text becomes a model with the right head, the same one for the same seed."""

import numpy as np
import pytest

from keras_vit.training import models
from keras_vit.training.recipes import Recipe

PLAIN = Recipe(epochs=1)


def test_the_small_model_gets_the_head_and_the_rates_of_the_recipe(image_sets):
    data = image_sets.data_in_memory(classes=3)
    model = models.build_model("digits", data, Recipe(epochs=1, drop_path_rate=0.25))
    assert model.output_shape == (None, 3)
    assert model.config.drop_path_rate == 0.25
    assert model.name == "digits"


def test_the_seed_decides_the_weights(image_sets):
    data = image_sets.data_in_memory()
    built = [models.build_model("digits", data, PLAIN.replace(seed=seed)) for seed in (1, 1, 2)]
    kernels = [model.get_layer("patch_encoder").projection.get_weights()[0] for model in built]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_the_image_size_can_be_chosen(image_sets):
    model = models.build_model("small", image_sets.data_in_memory(), PLAIN, image_size=32)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.preprocessing.size == (32, 32)


def test_a_variant_is_built_by_its_factory(image_sets):
    data = image_sets.data_in_memory(classes=4)
    model = models.build_model("ViT_Ti16", data, PLAIN, image_size=32, dtype="mixed_bfloat16")
    assert model.output_shape == (None, 4)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.get_layer("head").compute_dtype == "bfloat16"


def test_the_recipe_gives_the_type_where_nothing_else_does(image_sets):
    data, recipe = image_sets.data_in_memory(), PLAIN.replace(dtype="mixed_bfloat16")
    assert models.build_model("digits", data, recipe).dtype_policy.name == "mixed_bfloat16"
    model = models.build_model("digits", data, recipe, dtype="float32")
    assert model.dtype_policy.name == "float32"


@pytest.mark.parametrize(
    "spec, message", [("ViT_B17", "Nearest: .*'ViT_B16'"), ("no/such/folder", "that exists")]
)
def test_an_unknown_model_is_one_error(image_sets, spec, message):
    with pytest.raises(ValueError, match=message):
        models.build_model(spec, image_sets.data_in_memory(), PLAIN)


def test_weights_are_for_variants_alone(image_sets):
    with pytest.raises(ValueError, match="only for a variant"):
        models.build_model("digits", image_sets.data_in_memory(), PLAIN, weights="imagenet")


def test_defaults_suit_the_data(image_sets):
    data = image_sets.data_in_memory()
    assert models.default_model(data) == "small"
    assert models.scratch_recipe(data) == "scratch_small"


def test_checkpoints_are_told_from_models():
    assert models.is_checkpoint("a.npz") and models.is_checkpoint("hf://google/vit")
    assert not models.is_checkpoint("ViT_B16") and not models.is_checkpoint("digits")
