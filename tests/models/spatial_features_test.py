"""Feature maps are those of the reference implementations, on any grid, and can be trained on."""

import pathlib

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.models.spatial_features import block_numbers

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "golden"
CASES = sorted(path.parent for path in GOLDEN.glob("*/*/feature_maps.npz"))
CONFIG = VisionTransformerConfig(
    image_size=(8, 12), patch_size=4, hidden_size=16, num_layers=3, num_heads=2, mlp_dim=24,
    num_classes=5, num_register_tokens=1,
)  # fmt: skip
IMAGES = np.random.default_rng(0).standard_normal((2, 8, 12, 3), "float32")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_maps_are_those_of_timm_and_transformers(case):
    """`forward_intermediates`, and `Dinov2Backbone` with and without registers."""
    with np.load(case / "io.npz") as arrays, np.load(case / "feature_maps.npz") as expected:
        images, expected = arrays["images"], dict(expected)
    arguments = {"gelu": "quick"} if case.name == "clip" else {}
    if case.parent.name == "timm":
        arguments["num_heads"] = 4 if case.name in ("deit3", "vit_gap") else 2
    source = case if case.parent.name == "hf" else case / "model.safetensors"
    model = keras_vit.from_checkpoint(source, input_shape=images.shape[1:], **arguments)
    for name, norm in (("normed", True), ("plain", False)):
        outputs = keras_vit.feature_maps(model, (0, 1), norm, prefix_tokens=True)(images)
        for block, (grid, prefix) in enumerate(outputs):
            np.testing.assert_allclose(grid, expected[f"{name}_{block}"], atol=1e-4)
            if f"{name}_prefix_{block}" in expected:
                np.testing.assert_allclose(prefix, expected[f"{name}_prefix_{block}"], atol=1e-4)


def test_maps_of_any_size_stand_on_the_grid_of_the_image():
    model = VisionTransformer(CONFIG.replace(dynamic_image_size=True))
    maps = keras_vit.feature_maps(model, -1)
    assert maps.outputs[0].shape == (None, None, None, 16)
    x = np.random.default_rng(1).standard_normal((1, 16, 8, 3), "float32")
    (grid,) = maps(x)
    np.testing.assert_allclose(np.reshape(grid, (1, 8, 16)), model.encode(x)[:, 2:], atol=1e-5)


def test_block_numbers_count_from_either_end():
    assert block_numbers(3, [-1, 0]) == [2, 0]


def test_merged_tokens_stand_at_all_their_places():
    model = VisionTransformer(CONFIG.replace(token_merging=2))
    (first, last) = keras_vit.feature_maps(model, [0, -1])(IMAGES)
    assert first.shape == last.shape == (2, 2, 3, 16)
    np.testing.assert_allclose(np.reshape(last, (2, 6, 16)), model.encode(IMAGES)[:, 2:], atol=1e-5)


def test_a_model_inside_another_is_found_and_learns_with_what_stands_on_it():
    model = VisionTransformer(CONFIG.replace(num_classes=0))
    outer = keras.Sequential([keras.Input((8, 12, 3)), model, keras.layers.Dense(2)])
    maps = keras_vit.feature_maps(outer, 1)
    assert {id(v) for v in maps.trainable_variables} < {id(v) for v in model.trainable_variables}
    segmenter = keras.Model(maps.input, keras.layers.Conv2D(1, 1)(maps.output[0]))
    kernel = model.blocks[0].mlp.weights[0]
    before = keras.ops.convert_to_numpy(kernel)
    segmenter.compile("sgd", loss="mse")
    segmenter.train_on_batch(IMAGES, np.ones((2, 2, 3, 1), "float32"))
    assert np.abs(keras.ops.convert_to_numpy(kernel) - before).max() > 0


def test_a_saved_model_of_maps_is_the_same(tmp_path):
    maps = keras_vit.feature_maps(VisionTransformer(CONFIG), (0, 2))
    maps.save(tmp_path / "maps.keras")
    again = keras.saving.load_model(tmp_path / "maps.keras")
    for one, other in zip(maps(IMAGES), again(IMAGES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_pyramid_has_four_scales_of_one_width():
    pyramid = keras_vit.feature_pyramid(VisionTransformer(CONFIG), channels=6)
    shapes = [tuple(level.shape) for level in pyramid(IMAGES)]
    assert shapes == [(2, 8, 12, 6), (2, 4, 6, 6), (2, 2, 3, 6), (2, 1, 1, 6)]


@pytest.mark.parametrize("blocks", [3, [-4], [], [0.5]])
def test_unknown_blocks_are_an_error(blocks):
    with pytest.raises(ValueError, match="block numbers from 0 to 2"):
        keras_vit.feature_maps(VisionTransformer(CONFIG), blocks)


def test_another_kind_of_model_is_an_error():
    with pytest.raises(ValueError, match="VisionTransformer"):
        keras_vit.feature_maps(keras.Sequential([keras.Input((8, 12, 3))]), 0)
