"""Parts of a training step that XLA compiles by themselves, on TensorFlow and one CPU.

TensorFlow's own operations go through memory once for each term of a formula; compiled, a formula
goes through it once.
"""

import functools

import keras


def compiles_parts() -> bool:
    """Says whether parts of what is traced now are compiled: in a graph, on one CPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    if tf.executing_eagerly() or tf.distribute.has_strategy():
        return False
    if tf.config.list_physical_devices("GPU"):  # there Keras compiles the whole step
        return False
    return _works()


@functools.cache
def _works() -> bool:
    """Says whether this build of TensorFlow can compile for its CPU."""
    import tensorflow as tf

    try:
        with tf.init_scope():
            return float(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(1.0))) == 2.0
    except (tf.errors.OpError, ValueError):
        return False
