"""The arithmetic of a model, from its config and from its graph."""

import keras
import pytest
import tensorflow as tf

from benchmarks.graph_flops import count_flops, graph_flops
from keras_vit import VisionTransformer
from keras_vit.models import config as configs
from keras_vit.models import variants
from keras_vit.models.cost import forward_flops

TINY = configs.VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=2,
                                       num_heads=2, mlp_dim=16, num_classes=3)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "gflop"), [("ViT_B16", 35.1), ("ViT_S16", 9.2), ("ViT_L16", 123.1)]
)
def test_known_models(name, gflop):
    assert forward_flops(variants.get_variant(name)) / 1e9 == pytest.approx(gflop, rel=0.01)


def test_a_small_model_counted_by_hand():
    config = configs.VisionTransformerConfig(
        image_size=4, patch_size=2, hidden_size=8, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=3,
    )  # fmt: skip
    patches, tokens = 4 * 12 * 8, 5
    block = tokens * 8 * (3 * 8 + 8 + 16 + 16) + 2 * tokens * tokens * 8
    assert forward_flops(config) == 2 * (patches + block + 8 * 3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "drop_path_rate": 0.1},
        {"mlp": "swiglu", "layer_scale": True, "qk_norm": True, "num_register_tokens": 2},
        {"pooling": "token+gap", "pre_logits_size": 4, "projection_size": 6},
        {"pooling": "map", "class_token": False},
        {"dynamic_image_size": True},
        {"rematerialize": True},
        {"image_size": 20, "token_merging": 3},
        {"image_size": 20, "token_merging": (99, 1), "num_register_tokens": 1, "pooling": "gap"},
    ],
    ids=[
        "plain",
        "dropout",
        "dinov2",
        "pre_logits",
        "map",
        "any_size",
        "rematerialized",
        "merging",
        "merging_half",
    ],  # fmt: skip
)
def test_the_graph_of_a_transformer_costs_what_its_config_says(changes):
    config = TINY.replace(**changes)
    assert count_flops(VisionTransformer(config)) == forward_flops(config)


def test_a_published_size_counted_from_its_graph():
    config = variants.get_variant("ViT_Ti16")
    assert count_flops(VisionTransformer(config)) == forward_flops(config)


@pytest.mark.slow
def test_resnet152v2_costs_what_is_known_of_it():
    # 10.9 billion multiplications and additions at 224 px: Keras's own ResNet-152 V2.
    model = keras.applications.ResNet152V2(weights=None, classifier_activation=None)
    assert count_flops(model) / 1e9 == pytest.approx(21.8, rel=0.005)


def layers_cost(*layers, shape=(6, 6, 4)):
    return count_flops(keras.Sequential([keras.Input(shape), *layers])) / 2


def test_layers_counted_by_hand():
    layers = keras.layers
    assert layers_cost(layers.Conv2D(5, 3)) == 4 * 4 * 5 * 3 * 3 * 4
    assert layers_cost(layers.Conv2D(8, 3, groups=2, padding="same")) == 36 * 8 * 9 * 2
    assert layers_cost(layers.DepthwiseConv2D(3, depth_multiplier=2)) == 16 * 8 * 9
    assert layers_cost(layers.Conv2DTranspose(5, 2, strides=2)) == 36 * 4 * 5 * 4
    assert layers_cost(layers.Dense(7)) == 36 * 4 * 7
    assert layers_cost(layers.EinsumDense("abcd,de->abce", (6, 6, 7))) == 36 * 4 * 7
    assert layers_cost(layers.BatchNormalization(), layers.Activation("relu")) == 0


def test_einsum_counts_its_loops():
    with tf.Graph().as_default() as graph:
        one, other = tf.zeros((2, 3, 5, 7)), tf.zeros((2, 1, 7, 11))
        tf.raw_ops.Einsum(inputs=[one, other], equation="...ij,...jk->...ik")
        tf.raw_ops.Einsum(inputs=[one], equation="...ij->...ji")
    assert graph_flops(graph) == 2 * (2 * 3 * 5 * 7 * 11)


def training_step_cost(model):
    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(images, training=True))
        return tape.gradient(loss, model.trainable_variables)

    return graph_flops(step.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]))).graph)


def test_a_training_step_costs_three_forward_passes():
    config = TINY.replace(image_size=16)
    model = VisionTransformer(config, classifier_activation=None)
    of_the_images = 2 * 16 * (4 * 4 * 3) * 8  # a gradient that nobody asks for
    assert training_step_cost(model) == 3 * forward_flops(config) - of_the_images
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(images)
    x = keras.layers.DepthwiseConv2D(3)(keras.layers.BatchNormalization()(x))
    network = keras.Model(images, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert training_step_cost(network) == 3 * count_flops(network)


def test_what_cannot_be_counted_is_refused():
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
    assert count_flops(network, (6, 6)) == 2 * 16 * 4 * 27
    fixed = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3)])
    assert count_flops(fixed, (6, 6)) == 2 * 16 * 4 * 27
    with pytest.raises(ValueError, match="takes no other"):
        count_flops(fixed, (8, 8))
    with pytest.raises(ValueError, match="one input"):
        count_flops(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]))
    with tf.Graph().as_default() as graph:
        tf.matmul(tf.compat.v1.placeholder(tf.float32, (None, 3)), tf.zeros((3, 4)))
    with pytest.raises(ValueError, match="known shapes. Received: MatMul"):
        graph_flops(graph)
    with tf.Graph().as_default() as graph:
        tf.while_loop(lambda x: tf.reduce_sum(x) < 9, lambda x: (x @ x,), (tf.ones((2, 2)),))
    with pytest.raises(ValueError, match="MatMul inside the function"):
        graph_flops(graph)
