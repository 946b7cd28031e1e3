"""The ResNet in front of a hybrid: an image becomes a feature map."""

import keras
from keras import ops

from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.standardized_conv import StandardizedConv2D, strided_shape


class _ConvNorm(CompositeLayer):
    """Makes the convolutions and norms of one ResNet alike."""

    def __init__(
        self,
        group_norm_groups: int,
        group_norm_epsilon: float,
        weight_standardization: str,
        weight_standardization_epsilon: float,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.style = {
            "group_norm_groups": group_norm_groups,
            "group_norm_epsilon": group_norm_epsilon,
            "weight_standardization": weight_standardization,
            "weight_standardization_epsilon": weight_standardization_epsilon,
        }

    def _conv(self, filters, kernel_size, strides, name):
        return StandardizedConv2D(
            filters,
            kernel_size,
            strides=strides,
            standardization=self.style["weight_standardization"],
            epsilon=self.style["weight_standardization_epsilon"],
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name):
        return keras.layers.GroupNormalization(
            self.style["group_norm_groups"],
            epsilon=self.style["group_norm_epsilon"],
            dtype=self.dtype_policy,
            name=name,
        )

    def get_config(self):
        return {**super().get_config(), **self.style}


@keras.saving.register_keras_serializable(package="keras_vit")
class BottleneckUnit(_ConvNorm):
    """A residual unit of 1x1, 3x3 and 1x1 convolutions, group-normalised, activated after the sum.

    Args:
        width: channels of the 3x3 convolution; the output has four times as many.
        strides: steps of the 3x3 convolution.
        **kwargs: the norms and standardisation, as in `keras_vit.models.config.HybridConfig`.

    Input: `(batch, height, width, channels)`. Output:
    `(batch, ceil(height / strides), ceil(width / strides), 4 * width)`.
    """

    def __init__(self, width: int, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.strides = strides

    def build(self, input_shape):
        width, strides = self.width, self.strides
        self.conv1, self.norm1 = self._conv(width, 1, 1, "conv1"), self._norm("norm1")
        self.conv2, self.norm2 = self._conv(width, 3, strides, "conv2"), self._norm("norm2")
        self.conv3, self.norm3 = self._conv(4 * width, 1, 1, "conv3"), self._norm("norm3")
        shape = input_shape
        for conv, norm in (
            (self.conv1, self.norm1),
            (self.conv2, self.norm2),
            (self.conv3, self.norm3),
        ):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            norm.build(shape)
        self.shortcut = None
        if strides != 1 or input_shape[-1] != 4 * width:
            self.shortcut = self._conv(4 * width, 1, strides, "shortcut")
            self.shortcut_norm = self._norm("shortcut_norm")
            self.shortcut.build(input_shape)
            self.shortcut_norm.build(shape)
        self.finish_build()

    def call(self, inputs):
        residual = inputs
        if self.shortcut is not None:
            residual = self.shortcut_norm(self.shortcut(inputs))
        x = ops.relu(self.norm1(self.conv1(inputs)))
        x = ops.relu(self.norm2(self.conv2(x)))
        x = self.norm3(self.conv3(x))
        return ops.relu(x + residual)

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, 4 * self.width)


@keras.saving.register_keras_serializable(package="keras_vit")
class ResNetStage(_ConvNorm):
    """Bottleneck units one after the other; the first has the stride.

    Args:
        num_units: units of the stage.
        width: channels of the 3x3 convolutions; the output has four times as many.
        strides: steps of the first unit.
        **kwargs: the norms and standardisation, as in `keras_vit.models.config.HybridConfig`.

    Input: `(batch, height, width, channels)`. Output:
    `(batch, ceil(height / strides), ceil(width / strides), 4 * width)`.
    """

    def __init__(self, num_units: int, width: int, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.num_units = num_units
        self.width = width
        self.strides = strides
        self.units = [
            BottleneckUnit(
                width,
                strides if unit == 0 else 1,
                **self.style,
                dtype=self.dtype_policy,
                name=f"unit_{unit}",
            )
            for unit in range(num_units)
        ]

    def build(self, input_shape):
        for unit in self.units:
            unit.build(input_shape)
            input_shape = unit.compute_output_shape(input_shape)
        self.finish_build()

    def call(self, inputs):
        for unit in self.units:
            inputs = unit(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, 4 * self.width)


@keras.saving.register_keras_serializable(package="keras_vit")
class ResNetStem(_ConvNorm):
    """Root convolution, maximum pooling and stages of bottleneck units.

    Args:
        stem_width: channels of the 7x7 root convolution and width of the first stage; each later
            stage doubles width and stride.
        units_per_stage: bottleneck units of each stage; empty for the root alone.
        **kwargs: the norms and standardisation, as in `keras_vit.models.config.HybridConfig`.

    Input: `(batch, height, width, channels)`. Output: a feature map 4 times smaller a side, and
    half of that for each stage after the first.

    Reference: "Big Transfer" (arXiv 1912.11370); arXiv 2010.11929, section 3.1.
    """

    def __init__(self, stem_width: int = 64, units_per_stage: tuple[int, ...] = (), **kwargs):
        super().__init__(**kwargs)
        self.stem_width = stem_width
        self.units_per_stage = tuple(units_per_stage)
        self.root = self._conv(stem_width, 7, 2, "root")
        self.root_norm = self._norm("root_norm")
        self.stages = [
            ResNetStage(
                num_units,
                stem_width * 2**stage,
                1 if stage == 0 else 2,
                **self.style,
                dtype=self.dtype_policy,
                name=f"stage_{stage}",
            )
            for stage, num_units in enumerate(self.units_per_stage)
        ]

    def build(self, input_shape):
        self.root.build(input_shape)
        shape = self.root.compute_output_shape(input_shape)
        self.root_norm.build(shape)
        shape = strided_shape(shape, 2, self.stem_width)
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.finish_build()

    def call(self, images):
        x = ops.relu(self.root_norm(self.root(images)))
        x = ops.max_pool(x, 3, strides=2, padding="same", data_format="channels_last")
        for stage in self.stages:
            x = stage(x)
        return x

    def compute_output_shape(self, input_shape):
        shape = strided_shape(self.root.compute_output_shape(input_shape), 2, self.stem_width)
        for stage in self.stages:
            shape = stage.compute_output_shape(shape)
        return shape
