"""Layer normalisation in the order of operations that runtimes know."""

import keras
from keras import ops

from keras_vit.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's layer over the last axis, with fewer passes over memory.

    Weights, arguments and numbers are those of `keras.layers.LayerNormalization`, to rounding. The
    centred values are computed once, for the variance and for the result; OpenVINO makes one node
    of this form.

    Input and output: `(..., channels)`; computed in float32 at least, in the layer's type outside.

    Reference: "Layer Normalization" (arXiv 1607.06450), equation 3.
    """

    def call(self, inputs):
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        x = centred * ops.rsqrt(variance + self.epsilon)
        x = x * ops.cast(self.gamma, x.dtype) + ops.cast(self.beta, x.dtype)
        return ops.cast(x, self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_vit")
class RMSNormalization(ConfiguredLayer):
    """Divides by the root of the mean square over the last axis, and scales.

    Args:
        epsilon: added to the mean square.

    Input and output: `(..., channels)`; computed in float32 at least, in the layer's type outside.

    Reference: "Root Mean Square Layer Normalization" (arXiv 1910.07467), equation 4.
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma")
        self.built = True

    def call(self, inputs):
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        x = x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(x * ops.cast(self.gamma, x.dtype), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


NORMS = {"layer": LayerNormalization, "rms": RMSNormalization}
