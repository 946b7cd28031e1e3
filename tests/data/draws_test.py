"""Numbers for many seeds at once are those of TensorFlow for each."""

import numpy as np
import tensorflow as tf

from keras_vit.data.draws import first_uniform


def test_each_seed_draws_what_tensorflow_draws_from_it():
    rng = np.random.default_rng(0)
    seeds = np.concatenate([[[0, 0], [2**63 - 1, 2**32]], rng.integers(0, 2**63 - 1, (40, 2))])
    expected = [tf.random.stateless_uniform([1], seed)[0] for seed in seeds]
    np.testing.assert_array_equal(first_uniform(tf.constant(seeds)), expected)
    assert first_uniform(tf.constant(seeds.reshape(3, 14, 2))).shape == (3, 14)
