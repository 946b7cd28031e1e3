"""Random seeds that were drawn before they are needed, and differ from replica to replica."""

from typing import Any

import keras
from keras import ops

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
