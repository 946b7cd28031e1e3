"""What is dropped is what Keras drops, with XLA and without."""

import keras
import numpy as np
import pytest

from keras_vit.layers.seeds import DrawnSeed, dropout, uniform

SEED = np.array([2**40 + 5, 77])


def _of_keras(seed):
    return DrawnSeed(keras.ops.convert_to_tensor(seed, "int64"))


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
