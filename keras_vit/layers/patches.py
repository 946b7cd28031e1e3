"""An image becomes a grid of flat patches."""

import keras
from keras import ops

from keras_vit.checks import check_int
from keras_vit.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="keras_vit")
class Patches(ConfiguredLayer):
    """Cuts images into square patches and flattens each, row by row.

    The patches stay on their grid, so that what follows knows where each one lies, also for images
    of any size.

    Args:
        patch_size: side of a patch in pixels (or steps of a feature map), at least 1.
        drop_remainder: whether pixels below and to the right of the last whole patch are left out,
            as a convolution does without padding.

    Input: `(batch, height, width, channels)`, height and width divisible by `patch_size` unless the
    remainder is dropped.
    Output: `(batch, height / patch_size, width / patch_size, patch_size * patch_size * channels)`;
    the last axis runs over row, column and channel, as in the kernel of a convolution.

    Reference: arXiv 2010.11929, section 3.1 (x_p).
    """

    def __init__(self, patch_size: int, *, drop_remainder: bool = False, **kwargs):
        super().__init__(**kwargs)
        check_int("patch_size", patch_size, 1)
        self.patch_size = patch_size
        self.drop_remainder = drop_remainder

    def _check_shape(self, shape):
        if len(shape) != 4:
            raise ValueError(
                "Expected images of shape (batch, height, width, channels). "
                f"Received: shape={tuple(shape)}."
            )
        remainders = [side % self.patch_size for side in shape[1:3] if isinstance(side, int)]
        if any(remainders) and not self.drop_remainder:
            raise ValueError(
                f"Expected height and width divisible by patch_size={self.patch_size}. "
                f"Received: shape={tuple(shape)}. Resize or crop the images."
            )

    def call(self, images):
        self._check_shape(images.shape)
        patch = self.patch_size
        if patch == 1:
            return images
        _, height, width, channels = ops.shape(images)
        grid_height, grid_width = height // patch, width // patch
        if self.drop_remainder:
            images = images[:, : grid_height * patch, : grid_width * patch]
        x = ops.reshape(images, (-1, grid_height, patch, grid_width, patch, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, grid_height, grid_width, patch * patch * channels))

    def compute_output_shape(self, input_shape):
        self._check_shape(input_shape)
        batch, height, width, channels = input_shape
        patch = self.patch_size
        grid = [None if side is None else side // patch for side in (height, width)]
        return (batch, *grid, None if channels is None else patch * patch * channels)
