"""What a model answers about its own parts: encode, pool, head, groups of parameters, freezing."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import HybridConfig, VisionTransformer, VisionTransformerConfig

TINY = VisionTransformerConfig(
    image_size=8, patch_size=4, hidden_size=8, num_layers=2, num_heads=2, mlp_dim=12, num_classes=5
)
KINDS = {
    "token": {},
    "gap": {"pooling": "gap", "class_token": False},
    "gap of all": {"pooling": "gap", "pooling_includes_prefix_tokens": True},
    "pooled norm": {"pooling": "gap", "final_norm": "pooled"},
    "max": {"pooling": "max"},
    "map": {"pooling": "map", "pre_norm": True},
    "distilled": {"pooling": "token+distillation", "distillation_token": True},
    "token+gap": {"pooling": "token+gap", "num_register_tokens": 2},
    "pre_logits": {"pre_logits_size": 7, "projection_size": 6},
    "no head": {"num_classes": 0},
    "all tokens": {"pooling": "none", "num_classes": 0},
    "merged token": {"token_merging": 1},
    "merged gap": {"token_merging": 1, "pooling": "gap"},
    "merged pooled norm": {"token_merging": 1, "pooling": "gap", "final_norm": "pooled"},
    "any size": {"dynamic_image_size": True},
    "hybrid": {
        "image_size": 16,
        "patch_size": 1,
        "hybrid": HybridConfig(stem_width=8, units_per_stage=(1, 1), group_norm_groups=2),
    },
}


def randomize(model):
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model


def images_for(config, batch=2):
    shape = (batch, *config.image_size, config.in_channels)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def led_model():
    """A model with layers of its own in front: a mixing of two inputs, one of them with weights."""
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 1), name="right")
    mixed = keras.layers.Add()([left, keras.layers.Conv2D(3, 1, name="lead_conv")(right)])
    return VisionTransformer(TINY, input_tensor=keras.layers.Rescaling(2.0)(mixed))


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def assert_parts_agree(model, images):
    """The chain of the parts gives what the model itself gives, at each of its joints."""
    tokens = model.encode(model.input)
    features = model.pool(tokens)
    chained, own = [tokens, features], [tokens, model.features]
    if model.logits is not None:
        logits = model.head(features)
        probabilities = model.probabilities(logits, from_logits=True)
        chained, own = [*chained, logits, probabilities], [*own, model.logits, model.output]
    outputs = keras.Model(model.input, [chained, own]).predict_on_batch(images)
    assert outputs[0][0].shape[1:] == (model.config.num_tokens, model.config.hidden_size)
    for chained, own in zip(*outputs, strict=True):
        np.testing.assert_allclose(chained, own, atol=1e-5)
        assert np.ptp(own) > 1e-2


@pytest.mark.few(4)
@pytest.mark.parametrize("kind", KINDS)
def test_head_of_pool_of_encode_is_the_model(kind):
    model = randomize(VisionTransformer(TINY.replace(**KINDS[kind])))
    assert_parts_agree(model, images_for(model.config))


def test_parts_take_what_the_model_takes():
    model = randomize(led_model())
    left = images_for(TINY)
    assert_parts_agree(model, [left, left[..., :1]])
    logits = model.head(model.pool(model.encode([left, left[..., :1]])))
    own = keras.Model(model.input, model.logits)([left, left[..., :1]])
    np.testing.assert_allclose(as_numpy(logits), as_numpy(own), atol=1e-5)


def test_encode_gives_what_a_model_without_top_returns():
    for changes in ({}, {"token_merging": 1}, {"pooling": "gap"}):
        model = randomize(VisionTransformer(TINY.replace(**changes)))
        bare = VisionTransformer(model.config.replace(pooling="none", num_classes=0))
        bare.set_weights(model.get_weights()[: len(bare.weights)])
        images = images_for(TINY)
        tokens = as_numpy(model.encode(images))
        np.testing.assert_allclose(tokens, as_numpy(bare(images)), atol=1e-6)


def test_integer_images_and_half_precision():
    model = randomize(VisionTransformer(TINY, dtype="mixed_bfloat16"))
    images = np.full((1, 8, 8, 3), 3, "uint8")
    tokens = model.encode(images)
    assert keras.backend.standardize_dtype(tokens.dtype) == "bfloat16"
    outputs = model.probabilities(model.head(model.pool(tokens)), from_logits=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    np.testing.assert_allclose(as_numpy(outputs), as_numpy(model(images)), atol=1e-2)


def test_dropout_acts_in_training_alone():
    model = randomize(VisionTransformer(TINY.replace(dropout_rate=0.5)))
    images = images_for(TINY)
    first, second = (as_numpy(model.encode(images, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-2
    np.testing.assert_array_equal(as_numpy(model.encode(images)), as_numpy(model.encode(images)))


class Nesting(keras.layers.Layer):
    """A layer that makes its models as it is built, and calls parts of them."""

    def build(self, shape):
        self.model = VisionTransformer(TINY)
        self.twin = VisionTransformer(TINY)
        self.built = True

    def call(self, images):
        return self.model.pool(self.model.encode(images)) + self.twin.encode(images)[:, 0]


def test_parts_are_found_wherever_a_model_is_made(tmp_path):
    with keras.name_scope("outer"):
        scoped = randomize(VisionTransformer(TINY, name="scoped"))
    images = images_for(TINY)
    assert_parts_agree(scoped, images)
    check_groups(scoped)

    nesting = Nesting()
    output = nesting(images)
    randomize(nesting.model)
    assert_parts_agree(nesting.model, images)
    check_groups(nesting.twin)
    assert np.abs(as_numpy(nesting(images)) - as_numpy(output)).max() > 1e-3

    inputs = keras.Input((8, 8, 3))
    built = keras.Model(inputs, scoped.head(scoped.pool(scoped.encode(inputs))))
    built.save(tmp_path / "built.keras")
    loaded = keras.saving.load_model(tmp_path / "built.keras")
    expected = as_numpy(scoped.head(scoped.pool(scoped.encode(images))))
    for copy in (built, loaded):
        np.testing.assert_allclose(as_numpy(copy(images)), expected, atol=1e-6)
    scoped.save(tmp_path / "scoped.keras")
    assert_parts_agree(keras.saving.load_model(tmp_path / "scoped.keras"), images)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own tools")
def test_parts_run_in_a_graph_and_have_gradients():
    import tensorflow as tf

    model = randomize(VisionTransformer(TINY))
    images = tf.constant(images_for(TINY))

    @tf.function
    def gradients(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.head(model.pool(model.encode(images))) ** 2)
        return tape.gradient(loss, model.trainable_variables)

    assert all(tf.reduce_max(tf.abs(gradient)) > 0 for gradient in gradients(images))


def check_groups(model):
    """Every trained variable stands in one group, and kernels alone decay."""
    groups = model.parameter_groups()
    blocks = [f"block_{index}" for index in range(model.config.num_layers)]
    assert [group.name for group in groups] == ["embedding", *blocks, "head"]
    found = [id(variable) for group in groups for variable in group.variables]
    assert sorted(found) == sorted(id(variable) for variable in model.trainable_variables)
    for group in groups:
        parts = [id(variable) for variable in [*group.decayed, *group.not_decayed]]
        assert sorted(parts) == sorted(id(variable) for variable in group.variables)
        assert {variable.name for variable in group.decayed} <= {"kernel"}
        assert not any(variable.name == "kernel" for variable in group.not_decayed)


@pytest.mark.parametrize("kind", ["map", "distilled", "token+gap", "pre_logits", "hybrid"])
def test_parameter_groups_hold_each_variable_once(kind):
    model = VisionTransformer(TINY.replace(**KINDS[kind]))
    check_groups(model)
    embedding, *blocks, head = model.parameter_groups()
    token = model.get_layer("patch_encoder").class_token
    assert any(variable is token for variable in embedding.not_decayed)
    assert [group.layers for group in blocks] == [(block,) for block in model.blocks]
    assert {variable.name for variable in head.decayed} <= {"kernel"}


def test_what_leads_to_the_images_belongs_to_the_embedding():
    model = led_model()
    check_groups(model)
    kernel = model.get_layer("lead_conv").kernel
    assert any(variable is kernel for variable in model.parameter_groups()[0].decayed)


def trained(model):
    return {group.name for group in model.parameter_groups() if group.variables}


def test_freezing():
    model = led_model()
    model.freeze(blocks=range(1))
    assert trained(model) == {"embedding", "block_1", "head"}
    model.freeze("embedding", blocks=[-1])
    assert trained(model) == {"head"}
    assert not model.get_layer("lead_conv").trainable
    model.freeze("backbone")
    head = model.get_layer("head")
    assert model.trainable_variables == head.trainable_variables == [head.kernel, head.bias]
    for layer in model.layers:
        layer.trainable = True
    assert trained(model) == {"embedding", "block_0", "block_1", "head"}


@pytest.mark.parametrize(
    "arguments, message",
    [(("neck",), "part='neck'"), ((None, [2]), r"from 0 to 1. Received: blocks=\[2\]")],
)
def test_what_cannot_be_frozen_is_refused(arguments, message):
    part, *blocks = arguments
    with pytest.raises(ValueError, match=message):
        VisionTransformer(TINY).freeze(part, blocks=blocks[0] if blocks else ())


def test_a_model_without_head_says_so():
    model = VisionTransformer(TINY.replace(num_classes=0))
    for ask in (model.head, model.probabilities):
        with pytest.raises(ValueError, match="Expected a model with a head"):
            ask(np.zeros((2, 8), "float32"))


def test_attention_pooling_of_an_older_version_takes_all_tokens():
    def loaded(pooling):
        config = VisionTransformer(TINY.replace(pooling=pooling)).get_config()
        del config["config"]["multi_label"]
        return VisionTransformer.from_config(config).config

    assert loaded("map").pooling_includes_prefix_tokens
    assert not loaded("gap").pooling_includes_prefix_tokens
    stated = {"pooling": "map", "class_token": True, "pooling_includes_prefix_tokens": False}
    assert not VisionTransformerConfig.from_dict(stated).pooling_includes_prefix_tokens
