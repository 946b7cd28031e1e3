"""Rotary positions against their formulas in NumPy, and in whole models."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.layers import MultiHeadSelfAttention, PatchCoordinates, Rotary
from keras_vit.layers.seeds import DrawnSeed

GRID, PREFIX, HEADS, WIDTH = (3, 4), 2, 2, 8
X = np.random.default_rng(0).normal(size=(2, PREFIX + 12, HEADS, WIDTH)).astype("float32")
PATCHES = np.zeros((2, *GRID, 5), "float32")
TINY = VisionTransformerConfig(
    image_size=(12, 16), patch_size=4, hidden_size=16, num_layers=2, num_heads=2, mlp_dim=12,
    num_classes=5, num_register_tokens=1, position_embedding="none", rotary={"scale": "centred"},
)  # fmt: skip


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def centred(side):
    """DINOv3: the centres of the patches from -1 to 1, times 2 pi."""
    return 2 * np.pi * (2 * (np.arange(side) + 0.5) / side - 1)


def counted(side, reference=None, offset=0.0):
    """EVA: counted, on a reference grid."""
    return (np.arange(side) + offset) * (1 if reference is None else reference / side)


def turn(x, rows, columns, base, pairs, order):
    """Turns each pair of channels as a complex number."""
    frequencies = base ** (-np.arange(WIDTH // 4) / (WIDTH // 4))
    rows, columns = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    first, second = (rows, columns) if order == "yx" else (columns, rows)
    angles = np.concatenate([first[:, None] * frequencies, second[:, None] * frequencies], -1)
    half = WIDTH // 2
    if pairs == "halves":
        channels = [np.arange(half), half + np.arange(half)]
    else:
        channels = [np.arange(0, WIDTH, 2), np.arange(1, WIDTH, 2)]
    result = x.astype("float64")
    patches = result[:, PREFIX:]
    complex_ = patches[..., channels[0]] + 1j * patches[..., channels[1]]
    complex_ = complex_ * np.exp(1j * angles)[None, :, None]
    patches[..., channels[0]], patches[..., channels[1]] = complex_.real, complex_.imag
    return result


# arguments of the coordinates and of the turning, and the lines that they count on
KINDS = {
    "DINOv3": ({"scale": "centred"}, {}, centred, centred),
    "EVA": (
        {"reference_grid": (16, 16)},
        {"base": 10000.0, "pairs": "neighbours"},
        lambda side: counted(side, 16),
        lambda side: counted(side, 16),
    ),
    "Perception Encoder": (
        {"offset": 1.0},
        {"base": 10000.0, "pairs": "neighbours", "order": "xy"},
        lambda side: counted(side, offset=1),
        lambda side: counted(side, offset=1),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_turned_by_the_place_of_their_patch(kind):
    counting, turning, rows, columns = KINDS[kind]
    coordinates = PatchCoordinates(num_prefix_tokens=PREFIX, **counting)(PATCHES)
    layer = Rotary(**turning)
    received = as_numpy(layer(X, coordinates))
    arguments = {"base": 100.0, "pairs": "halves", "order": "yx", **turning}
    expected = turn(X, rows(GRID[0]), columns(GRID[1]), **arguments)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    np.testing.assert_array_equal(received[:, :PREFIX], X[:, :PREFIX])


@pytest.mark.parametrize("layer", [
    PatchCoordinates(num_prefix_tokens=1, offset=1.0, reference_grid=(4, 4), scale="index"),
    Rotary(base=10.0, pairs="neighbours", order="xy", learned=True),
])  # fmt: skip
def test_layers_round_trip_their_config_and_stay_in_float32(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert layer.compute_dtype == "float32"


def test_shapes_of_coordinates_are_the_promised_ones():
    layer = PatchCoordinates(num_prefix_tokens=PREFIX)
    assert layer.compute_output_shape(PATCHES.shape) == layer(PATCHES).shape == (1, 14, 2)
    assert layer(keras.KerasTensor((None, None, None, 5))).shape == (1, None, 2)


def test_learned_frequencies_begin_at_the_fixed_ones_and_turn_by_both_coordinates():
    coordinates = PatchCoordinates(num_prefix_tokens=PREFIX)(PATCHES)
    layer = Rotary(learned=True)
    layer.build(X.shape)
    values = np.random.default_rng(1).normal(size=(2, HEADS, WIDTH // 2))
    layer.frequencies.assign(values)
    rows, columns = np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)
    angles = rows[:, None, None] * values[0] + columns[:, None, None] * values[1]
    halves = X[:, PREFIX:, :, : WIDTH // 2] + 1j * X[:, PREFIX:, :, WIDTH // 2 :]
    turned = halves * np.exp(1j * angles)
    expected = np.concatenate([turned.real, turned.imag], -1)
    np.testing.assert_allclose(as_numpy(layer(X, coordinates))[:, PREFIX:], expected, atol=1e-5)


def test_attention_depends_on_the_distance_of_patches_alone():
    attention = MultiHeadSelfAttention(HEADS, rotary={"base": 100.0})
    tokens = np.tile(np.random.default_rng(2).normal(size=(1, 1, 16)), (1, 12, 1))
    coordinates = PatchCoordinates()(PATCHES)
    tokens = tokens.astype("float32")
    attention.build(tokens.shape)
    (near, far) = (
        as_numpy(attention(tokens, {"coordinates": c}, return_attention=True)[1])
        for c in (coordinates, coordinates + 5.0)
    )
    np.testing.assert_allclose(near, far, atol=1e-5)
    assert np.ptp(near) > 1e-3


def randomize(model):
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model


MODELS = {
    "DINOv3": {"mlp": "swiglu", "gelu": None, "layer_scale": True},
    "EVA": {
        "rotary": {"reference_grid": 4, "pairs": "neighbours", "base": 10000.0},
        "position_embedding": "learned", "attention_inner_norm": True, "mlp_inner_norm": True,
        "mlp": "swiglu", "gelu": None, "pooling": "gap", "final_norm": "pooled",
    },
    "mixed": {"rotary": {"learned": True, "order": "xy"}, "norm": "rms", "final_norm": "none"},
    "any size": {"dynamic_image_size": True, "attention_output_bias": False},
    "merged": {"token_merging": 2, "pooling": "gap"},
    "computed twice": {"rematerialize": True},
}  # fmt: skip


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", MODELS)
def test_models_with_rotary_positions_are_saved_and_answer_for_their_parts(kind, tmp_path):
    model = randomize(VisionTransformer(TINY.replace(**MODELS[kind]), classifier_activation=None))
    images = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype("float32")
    expected = as_numpy(model(images))
    chained = model.head(model.pool(model.encode(images)))
    np.testing.assert_allclose(as_numpy(chained), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    np.testing.assert_array_equal(as_numpy(loaded(images)), expected)
    # Where a patch lies counts: the same patches in another order are another image.
    assert np.abs(as_numpy(model(images[:, :, ::-1])) - expected).max() > 1e-3


def test_a_merged_token_lies_at_the_mean_of_its_parts():
    model = randomize(VisionTransformer(TINY.replace(token_merging=2)))
    images = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype("float32")
    tokens, state = model.embed(images)
    before = np.broadcast_to(as_numpy(state["coordinates"]), (*tokens.shape[:2], 2))
    for block in model.blocks:
        tokens, state = block(tokens, state)
    places, after = as_numpy(state["places"]), as_numpy(state["coordinates"])
    assert after.shape == (2, tokens.shape[1], 2) and tokens.shape[1] < before.shape[1]
    for image, place in np.ndindex(after.shape[:2]):
        parts = before[image, places[image] == place]
        np.testing.assert_allclose(after[image, place], parts.mean(0), atol=1e-5)


def test_coordinates_stay_in_full_precision():
    config = TINY.replace(rotary={"offset": 1000.0})
    model = randomize(VisionTransformer(config, classifier_activation=None))
    half = VisionTransformer(config, classifier_activation=None, dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype("float32")
    np.testing.assert_allclose(as_numpy(half(images)), as_numpy(model(images)), atol=0.05)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"rotary": {"base": 0.5}}, "rotary.base"),
        ({"rotary": {"jitter": 0.5}}, "rotary.jitter"),
        ({"rotary": {"pairs": "thirds"}}, "rotary.pairs"),
        ({"rotary": 3}, "RotaryConfig"),
        ({"num_heads": 8}, "divisible by 4"),
    ],
)
def test_what_cannot_be_turned_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TINY.replace(**fields)


AUGMENTED = {"shift": 0.5, "jitter": 1.5, "rescale": 2.0}


@pytest.mark.parametrize("scale", ["centred", "index"])
def test_coordinates_are_augmented_in_training_alone_by_one_draw_a_step(scale):
    layer = PatchCoordinates(num_prefix_tokens=PREFIX, scale=scale, seed=3, **AUGMENTED)
    plain = as_numpy(PatchCoordinates(num_prefix_tokens=PREFIX, scale=scale)(PATCHES))
    np.testing.assert_array_equal(as_numpy(layer(PATCHES)), plain)
    again = type(layer).from_config(layer.get_config())
    first, second = (as_numpy(layer(PATCHES, training=True)) for _ in range(2))
    np.testing.assert_array_equal(as_numpy(again(PATCHES, training=True)), first)
    assert np.abs(first - second)[:, PREFIX:].min(axis=1).max() > 0
    assert not first[:, :PREFIX].any()
    # DINOv3: (x + shift) times a factor for each coordinate times one for both.
    unit = 2 * np.pi if scale == "centred" else 1.0
    drawn = keras.random.SeedGenerator(3)
    seed = DrawnSeed(drawn.next())
    shift = as_numpy(keras.random.uniform((2,), -0.5, 0.5, seed=seed))
    factors = [
        np.exp(as_numpy(keras.random.uniform((count,), -np.log(most), np.log(most), seed=seed)))
        for count, most in ((2, 1.5), (1, 2.0))
    ]
    expected = (plain[:, PREFIX:] + unit * shift) * factors[0] * factors[1]
    np.testing.assert_allclose(first[:, PREFIX:], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", AUGMENTED)
def test_draws_of_coordinates_fill_their_range(name):
    layer = PatchCoordinates(scale="centred", seed=0, **{name: AUGMENTED[name]})
    plain = as_numpy(layer(PATCHES))[0]
    draws = np.stack([as_numpy(layer(PATCHES, training=True))[0] for _ in range(100)])
    if name == "shift":
        values, most = (draws - plain)[:, 0] / (2 * np.pi), AUGMENTED[name]
    else:  # patch 0, which has no coordinate 0
        values, most = np.log(draws[:, 0] / plain[0]), np.log(AUGMENTED[name])
    assert -most - 1e-5 <= values.min() < -0.9 * most and 0.9 * most < values.max() <= most + 1e-5
    shared = np.allclose(values[:, 0], values[:, 1], atol=1e-5)
    assert shared == (name == "rescale")


def test_a_model_turns_by_another_draw_each_step_of_training():
    config = TINY.replace(rotary={"scale": "centred", **AUGMENTED})
    model = randomize(VisionTransformer(config, classifier_activation=None))
    images = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype("float32")
    plain, first, second = (as_numpy(model(images, training=t)) for t in (False, True, True))
    assert np.abs(first - plain).max() > 1e-3 and np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(as_numpy(model(images)), plain)
    assert VisionTransformerConfig.from_dict(config.to_dict()) == config
