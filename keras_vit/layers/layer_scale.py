"""A residual branch is scaled by a learned vector."""

import keras
from keras import ops

from keras_vit.checks import check_number
from keras_vit.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerScale(ConfiguredLayer):
    """Multiplies the last axis by a learned vector.

    Args:
        initial_value: value of the vector at the start, above 0.

    Input and output: `(..., hidden_size)`.

    Reference: "Going deeper with Image Transformers" (arXiv 2103.17239), section 2.
    """

    def __init__(self, initial_value: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        check_number("initial_value", initial_value, "(0, inf)")
        self.initial_value = initial_value

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
            name="gamma",
        )
        self.built = True

    def call(self, inputs):
        return inputs * ops.cast(self.gamma, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
