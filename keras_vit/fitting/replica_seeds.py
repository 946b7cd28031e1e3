"""Random seeds that differ from replica to replica."""

from __future__ import annotations

from typing import Any

import keras

_STRIDE = 0x9E3779B9  # far apart, so that the seeds of two layers do not meet


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
