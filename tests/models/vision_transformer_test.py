"""The model: shapes, saving, sizes, precision, and what it computes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import (
    HybridConfig,
    Preprocessing,
    VisionTransformer,
    VisionTransformerConfig,
    preprocess_input,
)

TINY = VisionTransformerConfig(
    image_size=16,
    patch_size=4,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
    mlp_dim=24,
    num_classes=5,
)
KINDS = {
    "token": {},
    "gap without class token": {"pooling": "gap", "class_token": False},
    "max": {"pooling": "max"},
    "map": {"pooling": "map", "class_token": False},
    "distilled": {"pooling": "token+distillation", "distillation_token": True},
    "token+gap": {"pooling": "token+gap"},
    "pooled norm": {"pooling": "gap", "final_norm": "pooled"},
    "all tokens": {"pooling": "none", "num_classes": 0},
    "features": {"num_classes": 0, "projection_size": 6},
    "registers": {"num_register_tokens": 3, "layer_scale": True, "mlp": "swiglu", "gelu": None},
    "clip": {"pre_norm": True, "patch_bias": False, "gelu": "quick"},
    "pre_logits": {"pre_logits_size": 7},
    "sincos2d": {"position_embedding": "sincos2d"},
    "qk norm": {"qk_norm": True, "gelu": "erf"},
    "hybrid": {
        "image_size": 32,
        "patch_size": 1,
        "hybrid": HybridConfig(stem_width=32, units_per_stage=(1, 1)),
    },
    "non-square": {"image_size": (8, 24)},
    "grey": {"in_channels": 1},
    "dropout": {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "drop_path_rate": 0.2},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def randomize(model):
    """Gives every weight a random value: zeros and ones would hide faults."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model


def make(seed=0, batch=2, size=None, **changes):
    model = randomize(VisionTransformer(TINY.replace(**changes), name="tiny"))
    size = size or model.config.image_size
    shape = (batch, *size, model.config.in_channels)
    return model, np.random.default_rng(seed).normal(size=shape).astype("float32")


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


@every_kind
def test_output_shape(kind):
    model, images = make(**KINDS[kind])
    config = model.config
    expected = {"all tokens": (2, 17, 16), "features": (2, 6)}.get(kind, (2, config.num_classes))
    output = model(images)
    assert tuple(output.shape) == expected == (2, *model.output.shape[1:])
    assert (model.logits is None) == (config.num_classes == 0)


@pytest.mark.few(3)
@every_kind
def test_saving_is_bit_exact_in_safe_mode(kind, tmp_path):
    model, images = make(**KINDS[kind])
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is VisionTransformer
    assert loaded.config == model.config
    assert loaded.preprocessing == model.preprocessing
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)

    model.save_weights(tmp_path / "model.weights.h5")
    fresh = VisionTransformer(model.config)
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh.predict(images, verbose=0), expected)


def test_what_is_not_a_weight_is_saved_too(tmp_path):
    preprocessing = Preprocessing(size=16, resampling="bicubic", resize="crop", crop_fraction=0.9)
    model = VisionTransformer(
        TINY,
        preprocessing=preprocessing,
        classifier_activation=None,
        dtype="mixed_bfloat16",
        name="mine",
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing == preprocessing
    assert loaded.name == "mine"
    assert loaded.dtype_policy.name == "mixed_bfloat16"
    assert loaded.get_layer("encoder_block_0").compute_dtype == "bfloat16"
    assert loaded.classifier_activation is keras.activations.linear


def test_probabilities_are_the_softmax_of_the_logits():
    model, images = make()
    logits = keras.Model(model.input, model.logits)(images)
    np.testing.assert_allclose(as_numpy(model(images)), as_numpy(ops.softmax(logits)), atol=1e-6)
    assert np.ptp(as_numpy(logits)) > 0.1


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_returns_float32_close_to_the_full(dtype):
    model, images = make()
    half = VisionTransformer(TINY, dtype=dtype)
    half.set_weights(model.get_weights())
    output = half(images)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    np.testing.assert_allclose(as_numpy(output), as_numpy(model(images)), atol=0.05)


def test_initial_head_and_class_token_are_zero():
    model = VisionTransformer(TINY)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(as_numpy(model(images)), 1 / 5, atol=1e-7)
    assert not as_numpy(model.get_layer("patch_encoder").class_token).any()


def test_initial_kernels_are_xavier_uniform_matrix_by_matrix():
    config = TINY.replace(hidden_size=128, num_heads=2, mlp_dim=256)
    block = VisionTransformer(config).blocks[0]
    for kernel, fans in (
        (block.attention.qkv.kernel, (128, 128)),
        (block.attention.output_dense.kernel, (128, 128)),
        (block.mlp.hidden.kernel, (128, 256)),
    ):
        bound = np.sqrt(6 / sum(fans))
        values = np.abs(as_numpy(kernel))
        assert 0.98 * bound < values.max() <= 1.000001 * bound  # as float32 rounds


def test_any_size_agrees_with_the_model_built_for_that_size():
    from keras_vit.layers import resize_positions

    any_size, images = make(size=(8, 24), dynamic_image_size=True)
    assert any_size.input.shape == (None, None, None, 3)
    fixed = VisionTransformer(any_size.config.replace(dynamic_image_size=False, image_size=(8, 24)))
    for variable, source in zip(fixed.weights, any_size.weights, strict=True):
        value = as_numpy(source)
        if source.path.endswith("position_embedding"):
            value = resize_positions(value, (4, 4), (2, 6), 1, "linear_align_corners")
        variable.assign(value)
    expected = fixed.predict(images, verbose=0)
    np.testing.assert_allclose(any_size.predict(images, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(as_numpy(any_size(images)), expected, atol=1e-5)


def test_any_size_at_its_own_size_is_the_fixed_model():
    any_size, images = make(dynamic_image_size=True)
    fixed, _ = make()
    np.testing.assert_allclose(
        any_size.predict(images, verbose=0), fixed.predict(images, verbose=0), atol=1e-6
    )


@pytest.mark.parametrize(
    "shape, message",
    [
        ((2, 18, 16, 3), "divisible by patch_size=4"),
        ((16, 16, 3), "."),
        ((2, 16, 16, 1), "."),
    ],
)
def test_images_that_cannot_be_cut_are_refused(shape, message):
    model, _ = make(dynamic_image_size=True)
    with pytest.raises(ValueError, match=message):
        model(np.zeros(shape, "float32"))


def test_dropout_acts_in_training_alone():
    model, images = make(**KINDS["dropout"])
    first, second = (as_numpy(model(images, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(as_numpy(model(images)), as_numpy(model(images)))


def test_drop_path_grows_linearly_with_depth():
    model = VisionTransformer(TINY.replace(num_layers=3, drop_path_rate=0.4))
    rates = [block.drop_path_rate for block in model.blocks]
    np.testing.assert_allclose(rates, [0.0, 0.2, 0.4])


@every_kind
def test_observed_path_equals_the_fast_path(kind):
    model, images = make(**KINDS[kind])
    tokens = model.embed(images)
    for block in model.blocks:
        fast = block(tokens)
        tokens, attention = block(tokens, return_attention=True)
        np.testing.assert_allclose(as_numpy(tokens), as_numpy(fast), atol=2e-5)
        np.testing.assert_allclose(as_numpy(attention).sum(-1), 1, atol=1e-5)
    last = keras.Model(model.input, model.blocks[-1].output)(images)
    np.testing.assert_allclose(as_numpy(tokens), as_numpy(last), atol=2e-5)


def test_it_is_built_on_a_given_tensor_and_saved_with_what_leads_to_it(tmp_path):
    source = keras.Input((16, 16, 3), name="raw")
    scaled = keras.layers.Rescaling(2.0)(source)
    model = randomize(VisionTransformer(TINY, input_tensor=scaled))
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    plain = VisionTransformer(TINY)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(as_numpy(model(images)), as_numpy(plain(2 * images)), atol=1e-6)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_numpy(loaded(images)), as_numpy(model(images)))


def test_layers_in_front_take_their_part_of_the_preparation(tmp_path):
    source = keras.Input((16, 16, 3))
    model = VisionTransformer(TINY, input_tensor=keras.layers.Rescaling(1 / 127.5, -1)(source))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), "uint8")
    np.testing.assert_allclose(preprocess_input(pixels, model), pixels, atol=1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing == model.preprocessing
    flipped = keras.layers.RandomFlip()(keras.Input((16, 16, 3)))
    assert VisionTransformer(TINY, input_tensor=flipped).preprocessing == Preprocessing(size=16)
    stated = Preprocessing(size=16, mean=(0.1, 0.2, 0.3))
    model = VisionTransformer(
        TINY, input_tensor=keras.layers.Rescaling(2.0)(source), preprocessing=stated
    )
    assert model.preprocessing == stated


@pytest.mark.parametrize(
    "tensor, message",
    [
        (np.zeros((2, 16, 16, 3)), "Keras tensor"),
        (keras.KerasTensor((None, 16, 20, 3)), r"shape \(batch, 16, 16, 3\)"),
    ],
)
def test_a_wrong_input_tensor_is_refused(tensor, message):
    with pytest.raises(ValueError, match=message):
        VisionTransformer(TINY, input_tensor=tensor)


def test_fit_learns_two_images():
    model, _ = make(num_classes=2)
    images = np.stack([np.zeros((16, 16, 3)), np.ones((16, 16, 3))]).astype("float32")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = model.fit(images, np.array([0, 1]), epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.1 * history[0]
