"""Relative position bias against its definition in NumPy, and in whole models."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.interpret import attention_rollout
from keras_vit.layers import RelativePositionBias, resize_bias_table

GRID, HEADS = (2, 3), 2
TINY = VisionTransformerConfig(
    image_size=(8, 12), patch_size=4, hidden_size=8, num_layers=2, num_heads=HEADS, mlp_dim=12,
    num_classes=5, position_embedding="none", relative_position_bias={},
)  # fmt: skip
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype("float32")


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def randomize(thing):
    generator = np.random.default_rng(1)
    for weight in thing.weights:
        if weight.dtype == "float32":
            weight.assign(generator.normal(size=weight.shape) * 0.7)
    return thing


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("kind", ["table", "mlp"])
def test_the_bias_is_that_of_the_distance(kind, prefix):
    layer = RelativePositionBias(
        HEADS, GRID, kind=kind, hidden_size=4 if kind == "mlp" else None, num_prefix_tokens=prefix
    )
    layer.build((1, *GRID))
    bias = as_numpy(randomize(layer)(np.zeros((1, *GRID))))[0]
    weights = [as_numpy(weight) for weight in layer.weights]
    (rows, columns), patches = GRID, [(r, c) for r in range(GRID[0]) for c in range(GRID[1])]
    for query, (y, x) in enumerate(patches):
        for key, (v, u) in enumerate(patches):
            if kind == "table":
                expected = weights[0][(y - v + rows - 1) * (2 * columns - 1) + x - u + columns - 1]
            else:
                apart = np.array([y - v, x - u])
                apart = np.sign(apart) * np.log1p(np.abs(apart))
                expected = np.maximum(apart @ weights[0] + weights[1], 0) @ weights[2] + weights[3]
            np.testing.assert_allclose(bias[:, prefix + query, prefix + key], expected, atol=1e-6)
    if prefix:
        beyond = weights[0][-3:] if kind == "table" else np.zeros((3, HEADS))
        for place, found in enumerate((bias[:, 0, -1], bias[:, -1, 0], bias[:, 0, 1])):
            np.testing.assert_allclose(found, beyond[place], atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "geometric"])
def test_a_resized_table_keeps_what_is_constant_and_what_is_beyond(kind):
    table = np.concatenate([np.full((15, HEADS), 2.0), np.arange(6.0).reshape(3, HEADS)])
    resized = as_numpy(resize_bias_table(table, GRID, (4, 5), 3, kind))
    np.testing.assert_allclose(resized[: 7 * 9], 2.0, atol=1e-6)
    np.testing.assert_array_equal(resized[7 * 9 :], table[15:])


MODELS = {
    "own": {},
    "shared": {"relative_position_bias": {"shared": True}},
    "MLP, any size": {
        "relative_position_bias": {"kind": "mlp", "hidden_size": 4},
        "dynamic_image_size": True,
    },
    "shared, any size, computed twice": {
        "relative_position_bias": {"shared": True},
        "dynamic_image_size": True,
        "rematerialize": True,
    },
}


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", MODELS)
def test_models_with_a_relative_bias_are_saved_and_answer_for_their_parts(kind, tmp_path):
    model = randomize(VisionTransformer(TINY.replace(**MODELS[kind]), classifier_activation=None))
    expected = as_numpy(model(IMAGES))
    chained = model.head(model.pool(model.encode(IMAGES)))
    np.testing.assert_allclose(as_numpy(chained), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    np.testing.assert_allclose(as_numpy(loaded(IMAGES)), expected, atol=1e-6)
    # Where a patch lies counts: the same patches in another order are another image.
    swapped = IMAGES.reshape(2, 2, 4, 3, 4, 3)[:, :, :, [1, 0, 2]].reshape(IMAGES.shape)
    assert np.abs(as_numpy(model(swapped)) - expected).max() > 1e-3
    trained = {id(v) for group in model.parameter_groups() for v in group.variables}
    assert trained == {id(v) for v in model.trainable_variables}


def test_another_size_gets_the_bias_of_its_own_distances():
    model = randomize(VisionTransformer(TINY.replace(**MODELS["MLP, any size"])))
    large = randomize(VisionTransformer(model.config.replace(image_size=(16, 8))))
    images = np.random.default_rng(2).normal(size=(2, 16, 8, 3)).astype("float32")
    np.testing.assert_allclose(as_numpy(model(images)), as_numpy(large(images)), atol=1e-6)


def test_maps_of_attention_know_the_bias():
    model = randomize(VisionTransformer(TINY))
    plain = as_numpy(attention_rollout(model, IMAGES))
    for variable in model.weights:
        if variable.path.endswith("relative_bias/table"):
            variable.assign(variable + np.linspace(0, 5, variable.shape[0])[:, None])
    assert np.abs(as_numpy(attention_rollout(model, IMAGES)) - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotary": {}}, "`rotary` with relative_position_bias"),
        ({"token_merging": 1}, "merged tokens lie nowhere"),
        (
            {
                "relative_position_bias": {"interpolation": "geometric"},
                "dynamic_image_size": True,
            },
            "dynamic_image_size",
        ),
        ({"relative_position_bias": {"kind": "mlp"}}, "relative_position_bias.hidden_size"),
        ({"relative_position_bias": {"hidden_size": 3}}, "hidden_size=None for a table"),
        ({"relative_position_bias": 3}, "RelativeBiasConfig"),
    ],
)
def test_what_does_not_go_with_a_relative_bias_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TINY.replace(**fields)
