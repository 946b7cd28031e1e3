"""Parts of a training step that XLA compiles by themselves, on TensorFlow and one CPU.

TensorFlow's own operations go through memory once for each term of a formula; compiled, a formula
goes through it once.
"""

import functools
from collections.abc import Callable
from typing import Any

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
def compiled(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Compiles a function of a tensor and its derivative, one by one, in float32 inside.

    Args:
        function: from a tensor to one of its shape; must be the same object each time.
    """
    import tensorflow as tf

    def compile_(part):
        return tf.function(part, jit_compile=True, autograph=False)

    @compile_
    def value(x):
        return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)

    @compile_
    def slope(x, upstream):
        wide = tf.cast(x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(wide)
            y = function(wide)
        return tf.cast(tape.gradient(y, wide, tf.cast(upstream, tf.float32)), x.dtype)

    return tf.custom_gradient(lambda x: (value(x), lambda upstream: slope(x, upstream)))


@functools.cache
def _works() -> bool:
    """Says whether this build of TensorFlow can compile for its CPU."""
    import tensorflow as tf

    try:
        with tf.init_scope():
            return float(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(1.0))) == 2.0
    except (tf.errors.OpError, ValueError):
        return False
