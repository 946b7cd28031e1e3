"""A residual branch is dropped for some images of a batch."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_vit")
class DropPath(keras.layers.Layer):
    """Stochastic depth: in training, zeroes whole examples and scales the others up.

    Args:
        rate: probability of dropping an example, in [0, 1).
        seed: seed of the layer's own random state, or None.

    Input and output: `(batch, ...)`.

    Reference: "Deep Networks with Stochastic Depth" (arXiv 1603.09382).
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"Expected `rate` to lie in [0, 1). Received: rate={rate!r}.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None

    def build(self, input_shape):
        self.built = True

    def call(self, inputs, training=None):
        if not training or not self.rate:
            return inputs
        shape = (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:]))
        keep = 1.0 - self.rate
        kept = keras.random.uniform(shape, seed=self.seed_generator) < keep
        return inputs * ops.cast(kept, inputs.dtype) / keep

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
