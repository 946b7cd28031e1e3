"""Random numbers of many seeds at once: the bits that TensorFlow draws for one seed at a time.

`tf.random.stateless_uniform` takes one seed, and for a small image a call costs more than what is
done with its number. Here its generator is written out for a row of seeds.

Reference: "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), section 3.3, Philox-4x32 of ten
rounds.
"""

import numpy as np
import tensorflow as tf

_ROUNDS = 10
_HALF = np.uint64(2**32 - 1)
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], np.uint64)
_STEPS = np.arange(_ROUNDS, dtype=np.uint64)[:, None, None] * _WEYL
# With this key TensorFlow makes key and counter of a seed.
_SCRAMBLING = np.array([[0x3EC8F720], [0x02461E29]], np.uint64)
_DIGITS = 23  # binary, of a float32 in [1, 2)


def first_uniform(seeds: tf.Tensor) -> tf.Tensor:
    """Draws a number of [0, 1) for each seed, that of `tf.random.stateless_uniform([1], seed)`.

    Args:
        seeds: int64 `(..., 2)`, not negative.

    Returns:
        float32 `(...)`.
    """
    words = tf.cast(tf.reshape(seeds, [-1, 2]), tf.uint64)
    words = tf.transpose(words)  # one row for each half of a seed
    counters = tf.bitwise.bitwise_and(words, _HALF), tf.bitwise.right_shift(words, np.uint64(32))
    even, odd = _philox(*counters, tf.constant(_SCRAMBLING))
    # Words 0 and 1 are the key; 2 and 3 are the upper half of the counter, whose lower one is 0.
    key, upper = (tf.stack(pair) for pair in zip(*map(tf.unstack, (even, odd)), strict=True))
    lower = tf.zeros_like(upper[:1])
    counters = (tf.concat([lower, upper[part : part + 1]], 0) for part in range(2))
    bits = tf.bitwise.bitwise_and(_philox(*counters, key)[0][0], np.uint64(2**_DIGITS - 1))
    numbers = tf.cast(tf.cast(bits, tf.int32), tf.float32) * 2.0**-_DIGITS
    return tf.reshape(numbers, tf.shape(seeds)[:-1])


def _philox(even: tf.Tensor, odd: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the words 0 and 2, and 1 and 3, of a block.

    All are uint64 below 2**32 of two rows: of the counter the words 0 and 2, 1 and 3, and the key.
    """
    for round_key in tf.unstack(tf.bitwise.bitwise_and(key + _STEPS, _HALF)):
        products = tf.reverse(even * _MULTIPLIERS, [0])
        upper = tf.bitwise.right_shift(products, np.uint64(32))
        even = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(upper, odd), round_key)
        odd = tf.bitwise.bitwise_and(products, _HALF)
    return even, odd
