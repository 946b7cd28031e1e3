"""The model with merging tokens, and the model whose blocks are computed twice."""

import functools
import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import HybridConfig, VisionTransformer, VisionTransformerConfig
from keras_vit.applications.checkpoint import from_checkpoint

HERE = pathlib.Path(__file__).parent.parent
GOLDEN = HERE / "fixtures" / "golden"


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load(HERE / "layers" / "merging_reference.py")
TINY = VisionTransformerConfig(
    image_size=16, patch_size=4, hidden_size=16, num_layers=3, num_heads=2, mlp_dim=24,
    num_classes=5, token_merging=3,
)  # fmt: skip
POOLINGS = {
    "token": {},
    "gap": {"pooling": "gap"},
    "gap of all": {"pooling": "gap", "pooling_includes_prefix_tokens": True},
    "gap without class token": {"pooling": "gap", "class_token": False},
    "norm last": {"pooling": "gap", "final_norm": "pooled"},
    "max": {"pooling": "max"},
    "map": {"pooling": "map", "class_token": False},
    "token+gap": {"pooling": "token+gap"},
    "distilled": {"pooling": "token+distillation", "distillation_token": True},
    "none": {"pooling": "none", "num_classes": 0},
}
KINDS = {
    "token": {},
    "registers": {"num_register_tokens": 4, "layer_scale": True, "layer_scale_init": 0.5},
    "tuple": {"token_merging": (0, 4, 1)},
    "map": POOLINGS["map"],
    "all tokens": POOLINGS["none"],
    "hybrid": {
        "image_size": 32,
        "patch_size": 1,
        "hybrid": HybridConfig(stem_width=32, units_per_stage=(1, 1)),
    },
    "dropping": {
        "dropout_rate": 0.1, "attention_dropout_rate": 0.1, "drop_path_rate": 0.2, "pooling": "gap",
    },
    "computed twice": {"drop_path_rate": 0.2, "dropout_rate": 0.1, "rematerialize": True},
}  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(dtype=None, **changes):
    keras.utils.set_random_seed(0)
    model = VisionTransformer(TINY.replace(**changes), name="tiny", dtype=dtype)
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model


@functools.cache
def shared(kind):
    """A model of a kind, whose weights stay."""
    return make(**KINDS[kind])


def images(*size, batch=2):
    shape = (batch, *(size or (16, 16)), 3)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def encode(model, inputs):
    """Yields tokens and their sizes and places behind the last block, by loops, in float64."""
    config = model.config
    embedded = as_numpy(model.embed(inputs)).astype("float64")
    for tokens in embedded:
        sizes, places = np.ones(len(tokens), int), np.arange(len(tokens))
        for block, count in zip(model.blocks, config.merged_per_block, strict=True):
            tokens, sizes, places, _ = reference.block(
                tokens, sizes, places, reference.block_weights(block),
                heads=config.num_heads, count=count, prefix=config.num_prefix_tokens,
            )  # fmt: skip
        yield tokens, sizes, places


def norm(model, tokens):
    layer = model.get_layer("encoder_norm")
    return reference.layer_norm(tokens, as_numpy(layer.gamma), as_numpy(layer.beta), 1e-6)


def probe(model, tokens, sizes):
    """Attention pooling over merged tokens: each key counts as often as its size says."""
    weights = reference.block_weights(model.get_layer("pooling"))
    query = (
        weights["probe"][0] @ weights["attention/query/kernel"] + weights["attention/query/bias"]
    )
    pair = tokens @ weights["attention/key_value/kernel"] + weights["attention/key_value/bias"]
    keys, values = np.split(pair, 2, axis=-1)
    heads = [
        reference.attention(query[:, part], keys[:, part], values[:, part], sizes)[0]
        for part in (slice(0, 8), slice(8, 16))
    ]
    x = np.concatenate(heads, -1) @ weights["attention/output/kernel"]
    x = x + weights["attention/output/bias"]
    y = reference.layer_norm(x, weights["mlp_norm/gamma"], weights["mlp_norm/beta"], 1e-6)
    y = reference.gelu_tanh(y @ weights["mlp/hidden/kernel"] + weights["mlp/hidden/bias"])
    return (x + y @ weights["mlp/output/kernel"] + weights["mlp/output/bias"])[0]


def pool(model, tokens, sizes, places):
    """The features of one image, from its merged tokens."""
    config = model.config
    normed = tokens if config.final_norm == "pooled" else norm(model, tokens)
    first = 0 if config.pooling_includes_prefix_tokens else config.num_prefix_tokens

    def mean():
        return np.average(normed[first:], axis=0, weights=sizes[first:])

    return {
        "token": lambda: normed[0],
        "gap": lambda: norm(model, mean()) if config.final_norm == "pooled" else mean(),
        "max": lambda: normed[first:].max(0),
        "map": lambda: probe(model, normed, sizes),
        "token+gap": lambda: np.concatenate([normed[0], mean()]),
        "token+distillation": lambda: np.concatenate([normed[0], normed[1]]),
        "none": lambda: normed[places],
    }[config.pooling]()


@pytest.mark.few(2)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_counts_merged_tokens_by_their_size(pooling):
    model = make(**POOLINGS[pooling])
    features = keras.Model(model.input, model.features).predict(images(), verbose=0)
    assert features.shape[1:] == model.features.shape[1:]
    for image, state in enumerate(encode(model, images())):
        expected = pool(model, *state)
        tolerance = 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(features[image], expected, atol=tolerance)


def test_without_pooling_there_are_as_many_tokens_as_ever():
    model = make(**POOLINGS["none"])
    assert model.output.shape == (None, 17, 16)
    assert model.predict(images(), verbose=0).shape == (2, 17, 16)


@pytest.mark.few(1)
@pytest.mark.parametrize("token_merging", [0, (0, 0, 0)])
def test_none_to_merge_is_the_model_without_to_the_bit(token_merging):
    plain = VisionTransformerConfig(
        image_size=16, patch_size=4, hidden_size=16, num_layers=3, num_heads=2, mlp_dim=24,
        num_classes=5,
    )  # fmt: skip
    plain = VisionTransformer(plain)
    model = make(token_merging=token_merging)
    plain.set_weights(model.get_weights())
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in plain.layers]
    assert all(len(block.output.shape) == 3 for block in model.blocks)
    np.testing.assert_array_equal(
        model.predict(images(), verbose=0), plain.predict(images(), verbose=0)
    )


@pytest.mark.few(2)
@every_kind
def test_the_variables_are_those_of_the_plain_model(kind):
    model = shared(kind)
    plain = VisionTransformer(model.config.replace(token_merging=0), name="tiny")
    described = [[(v.path, v.shape) for v in m.variables if v.trainable] for m in (model, plain)]
    assert described[0] == described[1]


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "case", ["google/vit_token", "google/hybrid_units", "timm/dinov2_reg4", "timm/deit_distilled"]
)
def test_weights_made_without_merging_load(case):
    description = json.loads((GOLDEN / case / "case.json").read_text())
    source = GOLDEN / case / description["weights"]["file"]
    heads = {"num_heads": description["config"]["num_heads"]}
    plain = from_checkpoint(source, **heads)
    model = from_checkpoint(source, **heads, token_merging=1, rematerialize=True)
    assert model.config == plain.config.replace(token_merging=1, rematerialize=True)
    for one, other in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(as_numpy(one), as_numpy(other))
    inputs = images(*plain.config.image_size)
    outputs = [m.predict(inputs, verbose=0) for m in (model, plain)]
    assert outputs[0].shape == outputs[1].shape and np.ptp(outputs[0] - outputs[1]) > 0


@pytest.mark.few(1)
@every_kind
def test_saving_is_bit_exact_in_safe_mode(kind, tmp_path):
    model = shared(kind)
    inputs = images(*model.config.image_size)
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.config == model.config
    assert [b.rematerialize for b in loaded.blocks] == [b.rematerialize for b in model.blocks]
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), expected)


@pytest.mark.few(2)
@every_kind
def test_every_variable_has_a_gradient(kind, gradients):
    model = shared(kind)
    # So many that no branch is dropped for all of them.
    found = gradients(model, [images(*model.config.image_size, batch=16)], training=True)
    for variable, gradient in zip(model.trainable_variables, found, strict=True):
        gradient = as_numpy(gradient)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["token", "dropping", "computed twice"])
def test_fit_learns_two_images(kind):
    model = make(**{**KINDS[kind], "num_classes": 2})
    inputs = np.stack([np.zeros((16, 16, 3)), images(batch=1)[0]]).astype("float32")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    labels = np.array([0, 1])
    before = model.evaluate(inputs, labels, verbose=0)
    model.fit(inputs, labels, epochs=30, verbose=0)
    assert model.evaluate(inputs, labels, verbose=0) < 0.5 * before


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "size, pooling",
    [
        ((16, 16), "token"),
        ((8, 24), "gap without class token"),
        ((4, 4), "token"),
        ((4, 4), "gap without class token"),
        ((4, 12), "none"),
    ],
)
def test_any_size_agrees_with_the_model_built_for_that_size(size, pooling):
    changes = {**POOLINGS[pooling], "position_embedding": "sincos2d", "token_merging": 5}
    any_size = make(**changes, dynamic_image_size=True)
    fixed = make(**changes, image_size=size)
    expected = fixed.predict(images(*size), verbose=0)
    np.testing.assert_allclose(any_size.predict(images(*size), verbose=0), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_close(dtype):
    if dtype == "mixed_float16" and keras.backend.backend() == "jax":
        pytest.skip("JAX compiles no attention in float16 for a CPU")
    # Keys that are nearly alike may merge in another order: all merge here, so the order is free.
    model, half = (make(d, token_merging=(0, 0, 8), pooling="gap") for d in (None, dtype))
    output, expected = (m.predict(images(), verbose=0) for m in (half, model))
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, expected, atol=0.05)
    assert np.isfinite(make(dtype, **KINDS["map"]).predict(images(), verbose=0)).all()


@pytest.mark.slow
def test_it_merges_until_little_is_left():
    model = make(token_merging=1000)
    assert [block.output[0].shape[1] for block in model.blocks] == [9, 5, 3]
    assert np.isfinite(model.predict(images(), verbose=0)).all()


def test_all_blocks_but_the_last_are_computed_twice():
    assert not any(block.rematerialize for block in make().blocks)
    assert [b.rematerialize for b in make(rematerialize=True).blocks] == [True, True, False]


@pytest.mark.slow
def test_fit_computes_the_same_with_blocks_computed_twice():
    dropping = {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "drop_path_rate": 0.3}
    trained = []
    for rematerialize in (False, True):
        model = make(**dropping, rematerialize=rematerialize)
        states = [v for v in model.variables if "seed_generator_state" in v.path]
        for index, variable in enumerate(states):
            variable.assign([index, 0])
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        labels = np.arange(8) % 5
        model.fit(images(batch=8), labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
        trained.append([as_numpy(variable) for variable in model.variables])
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6 * max(1, np.abs(one).max()))
