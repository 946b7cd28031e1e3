"""A convolution whose kernel is standardised before it is used."""

import keras
from keras import ops

from keras_vit.layers.configured import ConfiguredLayer


def strided_shape(shape: tuple, strides: int, channels: int) -> tuple:
    """Returns the shape of images behind SAME padding and strides."""
    sides = [None if side is None else -(-side // strides) for side in shape[1:3]]
    return (shape[0], *sides, channels)


@keras.saving.register_keras_serializable(package="keras_vit")
class StandardizedConv2D(ConfiguredLayer):
    """A bias-free convolution with a kernel of mean 0 and standard deviation 1 per output channel.

    Args:
        filters: output channels.
        kernel_size: side of the kernel.
        strides: steps of the input to one of the output.
        standardization: `"std_plus_epsilon"` divides by std + epsilon, `"variance_plus_epsilon"` by
            sqrt(variance + epsilon).
        epsilon: that epsilon.

    Input: `(batch, height, width, channels)`. Output:
    `(batch, ceil(height / strides), ceil(width / strides), filters)`; the padding is that of
    TensorFlow's SAME.

    Reference: "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization"
    (arXiv 1903.10520).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        standardization: str = "std_plus_epsilon",
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.standardization = standardization
        self.epsilon = epsilon

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters),
            initializer=keras.initializers.LecunNormal(),
            name="kernel",
        )
        self.built = True

    def standardized_kernel(self):
        """Returns the kernel as it is used, in float32."""
        kernel = ops.cast(self.kernel, "float32")
        kernel = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        variance = ops.mean(ops.square(kernel), axis=(0, 1, 2), keepdims=True)
        if self.standardization == "std_plus_epsilon":
            return kernel / (ops.sqrt(variance) + self.epsilon)
        return kernel / ops.sqrt(variance + self.epsilon)

    def call(self, inputs):
        return ops.conv(
            inputs,
            ops.cast(self.standardized_kernel(), self.compute_dtype),
            strides=self.strides,
            padding="same",
            data_format="channels_last",
        )

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, self.filters)
