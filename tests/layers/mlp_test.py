"""The non-linearities of the MLP: values, derivatives, and what TensorFlow makes of them."""

import math

import keras
import numpy as np
import pytest
from scipy.special import erf

from keras_vit.layers.mlp import Mlp

X = np.linspace(-6.0, 6.0, 97)


def _tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _erf(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def _quick(x):
    return x / (1 + np.exp(-1.702 * x))


EXPECTED = {"tanh": _tanh, "erf": _erf, "quick": _quick}


def _identity_mlp(gelu):
    """An MLP of one channel whose matrices are 1: the non-linearity alone."""
    mlp = Mlp(1, gelu=gelu)
    mlp.build((None, 1))
    mlp.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    return mlp


def _value_and_slope(mlp, training):
    inputs = X[:, None].astype("float32")
    if keras.backend.backend() == "jax":
        import jax

        def total(x):
            y = mlp(x, training=training)
            return y.sum(), y

        (_, value), slope = jax.value_and_grad(total, has_aux=True)(inputs)
        return np.asarray(value)[:, 0], np.asarray(slope)[:, 0]
    import tensorflow as tf

    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = mlp(inputs, training=training)
    return value.numpy()[:, 0], tape.gradient(value, inputs).numpy()[:, 0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("gelu", EXPECTED)
def test_value_and_slope_are_those_of_the_formula(gelu, training):
    value, slope = _value_and_slope(_identity_mlp(gelu), training)
    step = 1e-5
    expected = (EXPECTED[gelu](X + step) - EXPECTED[gelu](X - step)) / (2 * step)
    np.testing.assert_allclose(value, EXPECTED[gelu](X), atol=2e-6)
    np.testing.assert_allclose(slope, expected, atol=5e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's optimizer")
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("gelu, expected", [("tanh", b"GeluApproximate"), ("erf", b"GeluExact")])
def test_tensorflow_runs_product_bias_and_gelu_as_one(gelu, expected, dtype):
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer
    from tensorflow.python.training.saver import export_meta_graph

    mlp = Mlp(32, gelu=gelu, dtype=dtype)
    mlp.build((None, 16))
    spec = tf.TensorSpec((64, 16), mlp.compute_dtype)
    graph = tf.function(lambda x: mlp(x), autograph=False).get_concrete_function(spec).graph
    with graph.as_default():
        exported = export_meta_graph(graph=graph)
    for node in exported.graph_def.node:
        node.device = "/job:localhost/replica:0/task:0/device:CPU:0"
    outputs = [tensor.name for tensor in graph.outputs]
    exported.collection_def["train_op"].node_list.value.extend(outputs)
    optimized = tf_optimizer.OptimizeGraph(config_pb2.ConfigProto(), exported)
    fused = [node.attr["fused_ops"].list.s for node in optimized.node if node.op == "_FusedMatMul"]
    assert expected in [name for names in fused for name in names]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiled on TensorFlow alone")
@pytest.mark.parametrize("kind", ["tanh", "erf"])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("bfloat16", 0.01)])
def test_a_wide_gelu_is_compiled_to_the_same_value_and_slope(kind, dtype, tolerance):
    import tensorflow as tf

    from keras_vit.layers import gelu as module

    rows = np.random.default_rng(0).normal(size=(3, module.COMPILED_FROM))
    x, upstream = tf.cast(2 * rows, dtype), tf.cast(rows, dtype)

    def value_and_slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = module.gelu(x, kind, training=True)
        return y, tape.gradient(y, x, upstream)

    graph = tf.function(value_and_slope, autograph=False).get_concrete_function(x)
    calls = [node for node in graph.graph.as_graph_def().node if "Call" in node.op]
    assert len(calls) == 2 and all(node.attr["_XlaMustCompile"].b for node in calls)
    for compiled, plain in zip(graph(x), value_and_slope(x), strict=True):
        np.testing.assert_allclose(
            tf.cast(compiled, tf.float32), tf.cast(plain, tf.float32), atol=10 * tolerance,
            rtol=tolerance,
        )  # fmt: skip
