"""Dropout whose random seed may be drawn before it is needed."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.fitting import seed_of_replica


class DrawnSeed(keras.random.SeedGenerator):
    """Gives the functions of `keras.random` a seed that was drawn before.

    A function that runs a second time for its gradient (see `TransformerBlock`) must use the same
    random numbers again, and must not advance the random state again: it takes its seeds from
    outside, and this hands them on.

    Args:
        seed: what `keras.random.SeedGenerator.next` returned.
    """

    def __init__(self, seed: Any):  # no state of its own, so nothing of the base class is set up
        self._seed = seed

    def next(self, ordered: bool = True) -> Any:
        return self._seed


@keras.saving.register_keras_serializable(package="keras_vit")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that also takes a seed drawn before.

    Called with `seed`, a result of `draw_seed`, it leaves its random state as it is. Under a
    `tf.distribute` strategy each replica drops something else, where Keras's drops the same.
    """

    def draw_seed(self) -> Any:
        """Advances the random state and returns the seed.

        Returns:
            The seed; None where nothing is dropped, and on torch, whose dropout has a random state
            of its own that its rematerialisation sets back.
        """
        if not self.rate or keras.backend.backend() == "torch":
            return None
        return seed_of_replica(self.seed_generator.next())

    def call(self, inputs, training=False, seed=None):
        if seed is None and training:
            seed = self.draw_seed()
        if seed is None or not training:
            return super().call(inputs, training=training)
        return keras.random.dropout(inputs, self.rate, self.noise_shape, seed=DrawnSeed(seed))
