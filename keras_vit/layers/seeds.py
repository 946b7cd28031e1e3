"""Random seeds that were drawn before they are needed, and differ from replica to replica.

What is drawn from them is the same with XLA and without, where TensorFlow by itself takes another
generator.
"""

from typing import Any

import keras
from keras import ops

_DIGITS = {"float32": 23, "bfloat16": 7, "float16": 10}  # binary, of a number in [1, 2)
_STRIDE = 0x9E3779B9  # far apart, so that the seeds of two layers do not meet


class DrawnSeed(keras.random.SeedGenerator):
    """Gives what takes a `keras.random.SeedGenerator` a seed that was drawn before.

    A function that runs a second time for its gradient (see `TransformerBlock`) must use the same
    random numbers again, and must not advance the random state again: it takes its seeds from
    outside, and this hands them on. No variable is made.

    Args:
        seed: `(2,)` integers, a tensor. The first draw is this seed, each later one counts on.
    """

    def __init__(self, seed: Any):  # no state of its own, so nothing of the base class is set up
        self._seed = seed
        self._draws = 0

    def next(self, ordered: bool = True) -> Any:
        draws = self._draws
        self._draws += 1
        if not draws:
            return self._seed
        return self._seed + ops.convert_to_tensor([0, draws], dtype=self._seed.dtype)


def seed_of_replica(seed: Any) -> Any:
    """Returns the seed that this replica uses, so that no two of them drop the same.

    All replicas hold the same random state, since their variables are mirrored.

    Args:
        seed: `(2,)` integers, what `keras.random.SeedGenerator.next` returned.

    Returns:
        The seed itself on the first replica, and wherever there is one alone.
    """
    if keras.backend.backend() != "tensorflow":
        return seed
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([replica * _STRIDE, tf.zeros_like(replica)])


def uniform(shape: Any, seed: Any, dtype: Any = "float32") -> Any:
    """Draws numbers of [0, 1) from a seed, the bits of `keras.random.uniform` without XLA."""
    digits = _DIGITS.get(keras.backend.standardize_dtype(dtype))
    if keras.backend.backend() != "tensorflow" or digits is None:
        return keras.random.uniform(shape, dtype=dtype, seed=DrawnSeed(seed))
    import tensorflow as tf

    # Integers come out alike everywhere; what TensorFlow and XLA make floats of does not.
    whole = {"minval": None, "maxval": None, "dtype": tf.int32, "alg": "philox"}
    bits = tf.random.stateless_uniform(shape, _of_32_bits(seed), **whole)
    bits = tf.bitwise.bitwise_and(bits, 2**digits - 1)
    return tf.cast(tf.cast(bits, tf.float32) * 2.0**-digits, dtype)


def dropout(inputs: Any, rate: float, noise_shape: Any, seed: Any) -> Any:
    """Drops what `keras.random.dropout` drops without XLA."""
    if keras.backend.backend() != "tensorflow" or rate == 1:
        return keras.random.dropout(inputs, rate, noise_shape, seed=DrawnSeed(seed))
    sizes = ops.shape(inputs)
    if noise_shape is not None:
        sides = zip(sizes, noise_shape, strict=True)
        sizes = [own if side is None else side for own, side in sides]
    kept = uniform(sizes, seed, inputs.dtype) >= ops.cast(rate, inputs.dtype)
    return ops.where(kept, inputs * ops.cast(1 / (1 - rate), inputs.dtype), 0)


def _of_32_bits(seed: Any) -> Any:
    """Returns a seed as XLA takes it, by the rule of Keras."""
    return ops.cast(ops.mod(seed, 2**31 - 2), "int32")
