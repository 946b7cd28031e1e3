"""What is dropped is what Keras drops, with XLA and without."""

import keras
import numpy as np
import pytest

from keras_vit.layers.drop_path import DropPath
from keras_vit.layers.dropout import Dropout
from keras_vit.layers.rotary import PatchCoordinates
from keras_vit.layers.seeds import DrawnSeed, dropout, uniform

SEED = np.array([2**40 + 5, 77])


def _of_keras(seed):
    return DrawnSeed(keras.ops.convert_to_tensor(seed, "int64"))


@pytest.mark.few(1)
@pytest.mark.parametrize("noise_shape", [None, (None, 1, None)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dropout_drops_what_that_of_keras_does(dtype, noise_shape):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("XLA takes another generator on TensorFlow alone")
    images = tf.cast(np.random.default_rng(0).normal(size=(4, 6, 8)), dtype)
    seed = tf.constant(SEED, tf.int64)
    expected = keras.random.dropout(images, 0.3, noise_shape, seed=_of_keras(SEED))
    compiled = tf.function(lambda: dropout(images, 0.3, noise_shape, seed), jit_compile=True)()
    np.testing.assert_array_equal(dropout(images, 0.3, noise_shape, seed), expected)
    np.testing.assert_array_equal(compiled, expected)
    drawn = tf.function(lambda: uniform((9,), seed), jit_compile=True)()
    np.testing.assert_array_equal(drawn, keras.random.uniform((9,), seed=_of_keras(SEED)))


@pytest.mark.parametrize(
    "layer",
    [
        Dropout(0.3, seed=1),
        DropPath(0.3, seed=1),
        PatchCoordinates(shift=0.5, jitter=1.5, rescale=2.0, seed=1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_a_layer_draws_is_the_same_with_xla_and_without(layer):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("XLA takes another generator on TensorFlow alone")
    inputs = tf.constant(np.random.default_rng(0).normal(size=(6, 4, 5, 8)), tf.float32)
    outputs, start = [], layer.seed_generator.state.numpy()
    for xla in (False, True):
        layer.seed_generator.state.assign(start)
        outputs.append(tf.function(lambda: layer(inputs, training=True), jit_compile=xla)())
    np.testing.assert_allclose(*outputs, rtol=1e-6, atol=1e-6)
    assert np.abs(outputs[0] - layer(inputs)).max() > 0.1
