"""Tokens become a map again."""

import keras
from keras import ops

from keras_vit.checks import check_int
from keras_vit.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchGrid(ConfiguredLayer):
    """Lays the tokens of patches out on their grid.

    Args:
        stride: pixels from one patch to the next, at least 1.
        num_prefix_tokens: tokens in front of the patches, which are left out.

    Input: tokens `(batch, tokens, hidden_size)` and the images `(batch, height, width, channels)`
    that they were made of, of which the size alone is read.
    Output: `(batch, height / stride, width / stride, hidden_size)`, rounded down.
    """

    def __init__(self, stride: int, *, num_prefix_tokens: int = 0, **kwargs):
        super().__init__(**kwargs)
        check_int("stride", stride, 1)
        check_int("num_prefix_tokens", num_prefix_tokens, 0)
        self.stride = stride
        self.num_prefix_tokens = num_prefix_tokens

    def build(self, tokens_shape, images_shape):
        self.built = True

    def call(self, tokens, images):
        _, height, width, _ = ops.shape(images)
        patches = tokens[:, self.num_prefix_tokens :]
        grid = (height // self.stride, width // self.stride)
        return ops.reshape(patches, (-1, *grid, tokens.shape[-1]))

    def compute_output_shape(self, tokens_shape, images_shape):
        grid = [None if side is None else side // self.stride for side in images_shape[1:3]]
        return (tokens_shape[0], *grid, tokens_shape[-1])
