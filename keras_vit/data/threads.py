"""On how many threads a pipeline works, and that its end is not waited for."""

import os

import tensorflow as tf

CORES = os.cpu_count() or 1
AHEAD = 2
"""Batches that are made while the model works on one."""


def untuned(data: tf.data.Dataset, *, deterministic: bool = True) -> tf.data.Dataset:
    """Returns a data set whose numbers of threads and buffers stay what they are.

    TensorFlow's tuner of pipelines looks at a pass after 10 ms, then sleeps twice as long each
    time, up to a minute. About every other pass, when all is read, waits until it wakes up: one of
    8.5 s for 2.

    Args:
        data: whose maps and prefetching say how many, not `tf.data.AUTOTUNE`.
        deterministic: whether elements keep their order.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = deterministic
    return data.with_options(options)
