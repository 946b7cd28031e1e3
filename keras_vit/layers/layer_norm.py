"""Layer normalisation in the order of operations that runtimes know."""

from __future__ import annotations

import keras
from keras import ops


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
