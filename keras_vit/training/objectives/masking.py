"""The layers of a masked autoencoder: which tokens are seen, and the sequence made whole again."""

import keras
from keras import ops

from keras_vit.layers.configured import ConfiguredLayer
from keras_vit.layers.patch_encoder import sincos2d
from keras_vit.layers.relative_bias import bias_among, first_places


@keras.saving.register_keras_serializable(package="keras_vit")
class VisibleTokens(ConfiguredLayer):
    """Keeps the prefix tokens and the first patches of a random order.

    Args:
        num_prefix_tokens: leading tokens that are always kept.
        num_visible: patches that are kept, at least 1.

    Input: tokens `(batch, prefix + patches, hidden_size)` and int32 `order` `(batch, patches)`, the
    numbers of the patches; where there is one, the `state` that enters the first block. Output:
    `(batch, prefix + visible, hidden_size)`, with their part of the state.

    Reference: "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377), section 3.
    """

    def __init__(self, num_prefix_tokens: int, num_visible: int, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.num_prefix_tokens = num_prefix_tokens
        self.num_visible = num_visible

    def call(self, tokens, order, state=None):
        places = first_places(order, self.num_visible, self.num_prefix_tokens)
        seen = ops.take_along_axis(tokens, places[:, :, None], axis=1)
        return (seen, self._state(state, order, places)) if state else seen

    def _state(self, state, order, places):
        kept = dict(state)
        if "coordinates" in state:
            kept["coordinates"] = ops.take(state["coordinates"][0], places, axis=0)
        if "bias" in state:
            kept["bias"] = bias_among(state["bias"], places)
        if "grid" in state:
            numbers = ops.cast(ops.argsort(order, axis=1), "int32")
            kept["grid"] = ops.reshape(numbers, (-1, *state["grid"].shape[1:]))
        return kept


@keras.saving.register_keras_serializable(package="keras_vit")
class WholeSequence(ConfiguredLayer):
    """Puts the visible patches in their places, a learned token in the others, and adds positions.

    Args:
        num_prefix_tokens: leading tokens; their position is 0.
        grid_size: (rows, columns) of all patches.

    Input: tokens `(batch, prefix + visible, hidden_size)` and the `order` of `VisibleTokens`.
    Output: `(batch, prefix + patches, hidden_size)`.

    Reference: arXiv 2111.06377, section 3, the decoder; its positions are fixed sines and cosines.
    """

    def __init__(self, num_prefix_tokens: int, grid_size: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.num_prefix_tokens = num_prefix_tokens
        self.grid_size = tuple(grid_size)

    def build(self, tokens_shape, order_shape):
        size = tokens_shape[-1]
        self.mask_token = self.add_weight(
            shape=(1, 1, size),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="mask_token",
        )
        self.position_embedding = self.add_weight(
            shape=(1, self.num_prefix_tokens + self.grid_size[0] * self.grid_size[1], size),
            initializer=self._positions,
            trainable=False,
            name="position_embedding",
        )
        self.built = True

    def _positions(self, shape, dtype):
        prefix = ops.zeros((1, self.num_prefix_tokens, shape[-1]))
        positions = ops.concatenate([prefix, sincos2d(self.grid_size, shape[-1])], axis=1)
        return ops.cast(positions, dtype)

    def call(self, tokens, order):
        prefix, visible = tokens[:, : self.num_prefix_tokens], tokens[:, self.num_prefix_tokens :]
        batch, num_patches = ops.shape(order)
        hidden = num_patches - visible.shape[1]
        token = ops.cast(self.mask_token, self.compute_dtype)
        token = ops.broadcast_to(token, (batch, hidden, token.shape[-1]))
        places = ops.argsort(order, axis=1)
        patches = ops.concatenate([visible, token], axis=1)
        patches = ops.take_along_axis(patches, places[:, :, None], axis=1)
        sequence = ops.concatenate([prefix, patches], axis=1)
        return sequence + ops.cast(self.position_embedding, self.compute_dtype)

    def compute_output_shape(self, tokens_shape, order_shape):
        length = self.num_prefix_tokens + self.grid_size[0] * self.grid_size[1]
        return (tokens_shape[0], length, tokens_shape[2])
