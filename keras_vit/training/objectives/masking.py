"""The layers of a masked autoencoder: which tokens are seen, and the sequence made whole again."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit import layers
from keras_vit.layers.patch_encoder import sincos2d
from keras_vit.models.config import VisionTransformerConfig


@keras.saving.register_keras_serializable(package="keras_vit")
class VisibleTokens(keras.layers.Layer):
    """Keeps the prefix tokens and the first patches of a random order.

    Args:
        num_prefix_tokens: leading tokens that are always kept.
        num_visible: patches that are kept, at least 1.

    Input: tokens `(batch, prefix + patches, hidden_size)` and int32 `order` `(batch, patches)`, the
    numbers of the patches. Output: `(batch, prefix + visible, hidden_size)`.

    Reference: "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377), section 3.
    """

    def __init__(self, num_prefix_tokens: int, num_visible: int, **kwargs):
        super().__init__(**kwargs)
        self.num_prefix_tokens = num_prefix_tokens
        self.num_visible = num_visible

    def call(self, tokens, order):
        prefix, patches = tokens[:, : self.num_prefix_tokens], tokens[:, self.num_prefix_tokens :]
        visible = ops.take_along_axis(patches, order[:, : self.num_visible, None], axis=1)
        return ops.concatenate([prefix, visible], axis=1)

    def compute_output_shape(self, tokens_shape, order_shape):
        length = self.num_prefix_tokens + self.num_visible
        return (tokens_shape[0], length, tokens_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "num_prefix_tokens": self.num_prefix_tokens,
            "num_visible": self.num_visible,
        }


@keras.saving.register_keras_serializable(package="keras_vit")
class WholeSequence(keras.layers.Layer):
    """Puts the visible patches in their places, a learned token in the others, and adds positions.

    Args:
        num_prefix_tokens: leading tokens, which get no position.
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
            shape=(1, self.grid_size[0] * self.grid_size[1], size),
            initializer=lambda shape, dtype: ops.cast(sincos2d(self.grid_size, size), dtype),
            trainable=False,
            name="position_embedding",
        )
        self.built = True

    def call(self, tokens, order):
        prefix, visible = tokens[:, : self.num_prefix_tokens], tokens[:, self.num_prefix_tokens :]
        batch, num_patches = ops.shape(order)
        hidden = num_patches - visible.shape[1]
        token = ops.cast(self.mask_token, self.compute_dtype)
        token = ops.broadcast_to(token, (batch, hidden, token.shape[-1]))
        places = ops.argsort(order, axis=1)
        patches = ops.concatenate([visible, token], axis=1)
        patches = ops.take_along_axis(patches, places[:, :, None], axis=1)
        patches = patches + ops.cast(self.position_embedding, self.compute_dtype)
        return ops.concatenate([prefix, patches], axis=1)

    def compute_output_shape(self, tokens_shape, order_shape):
        length = self.num_prefix_tokens + self.grid_size[0] * self.grid_size[1]
        return (tokens_shape[0], length, tokens_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "num_prefix_tokens": self.num_prefix_tokens,
            "grid_size": self.grid_size,
        }


def build_decoder(
    config: VisionTransformerConfig,
    grid_size: tuple[int, int],
    num_visible: int,
    *,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    dtype: Any = None,
) -> keras.Model:
    """Builds the network from what the encoder makes of the visible patches to all pixels.

    Args:
        config: of the encoder.
        grid_size: (rows, columns) of the patches.
        num_visible: patches that the encoder sees.
        hidden_size: width of a token in the decoder, divisible by 4.
        num_layers: its blocks.
        num_heads: heads of a block; divides `hidden_size`.
        dtype: dtype policy of its layers; None is the global one.

    Returns:
        A model `decoder` from tokens `(batch, prefix + visible, encoder's hidden_size)` and int32
        `order` `(batch, patches)` to float32 `(batch, patches, values of a patch)`.

    Reference: arXiv 2111.06377, section 3 and appendix A.1.
    """
    prefix, num_patches = config.num_prefix_tokens, grid_size[0] * grid_size[1]
    tokens = keras.Input((prefix + num_visible, config.hidden_size), name="tokens")
    order = keras.Input((num_patches,), dtype="int32", name="order")
    x = keras.layers.Dense(hidden_size, dtype=dtype, name="embed")(tokens)
    x = WholeSequence(prefix, grid_size, dtype=dtype, name="whole_sequence")(x, order)
    for index in range(num_layers):
        x = layers.TransformerBlock(
            num_heads,
            4 * hidden_size,
            gelu=config.gelu or "tanh",
            epsilon=config.layer_norm_epsilon,
            dtype=dtype,
            name=f"block_{index}",
        )(x)
    x = layers.LayerNormalization(epsilon=config.layer_norm_epsilon, dtype=dtype, name="norm")(x)
    x = keras.layers.Cropping1D((prefix, 0), dtype=dtype, name="patches")(x)
    values = config.patch_size**2 * config.in_channels
    pixels = keras.layers.Dense(values, dtype="float32", name="pixels")(x)
    return keras.Model([tokens, order], pixels, name="decoder")
