"""Dropout whose random seed may be drawn before it is needed."""

from typing import Any

import keras

from keras_vit.layers.seeds import dropout, seed_of_replica


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
        return dropout(inputs, self.rate, self.noise_shape, seed)
