"""A residual branch is dropped for some images of a batch."""

from typing import Any

import keras
from keras import ops

from keras_vit.checks import check_number
from keras_vit.layers.configured import ConfiguredLayer
from keras_vit.layers.seeds import seed_of_replica, uniform


@keras.saving.register_keras_serializable(package="keras_vit")
class DropPath(ConfiguredLayer):
    """Stochastic depth: in training, zeroes whole examples and scales the others up.

    Args:
        rate: probability of dropping an example, in [0, 1).
        seed: seed of the layer's own random state, or None.

    Input and output: `(batch, ...)`. Called with `seed`, a result of `draw_seed`, it leaves its
    random state as it is. Under a `tf.distribute` strategy each replica drops something else.

    Reference: "Deep Networks with Stochastic Depth" (arXiv 1603.09382).
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        check_number("rate", rate, "[0, 1)")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None
        self.built = True  # there is nothing to build

    def draw_seed(self) -> Any:
        """Advances the random state and returns the seed, or None where nothing is dropped."""
        return seed_of_replica(self.seed_generator.next()) if self.rate else None

    def call(self, inputs, training=None, seed=None):
        if not training or not self.rate:
            return inputs
        shape = (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:]))
        keep = 1.0 - self.rate
        seed = self.draw_seed() if seed is None else seed
        kept = uniform(shape, seed) < keep
        return inputs * ops.cast(kept, inputs.dtype) / keep

    def compute_output_shape(self, input_shape):
        return input_shape
