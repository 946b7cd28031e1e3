"""The decoder of a masked autoencoder: built, or loaded from a run or from transformers."""

import os
from typing import Any

import keras

from keras_vit import layers
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.training.objectives.masking import WholeSequence
from keras_vit.weights.download import local_path
from keras_vit.weights.files.keras_archive import load_archive
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.files.suffixes import is_keras_model
from keras_vit.weights.layouts.layout import Layout
from keras_vit.weights.layouts.transformers import attention_rows
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm


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


class _DecoderLayout(Layout):
    """The names of the decoder of `ViTMAEForPreTraining` of transformers, blocks as `layer`."""

    signature = "decoder_embed.weight"
    prefixes = ("decoder.",)

    def __init__(self, layer: str):
        self.rows = (
            *linear("decoder_embed", "embed"),
            row("mask_token", "whole_sequence/mask_token"),
            row("decoder_pos_embed", "whole_sequence/position_embedding"),
            *torch_norm(f"{layer}.layernorm_before", f"{BLOCK}/attention_norm"),
            *attention_rows(layer, layer),
            *torch_norm(f"{layer}.layernorm_after", f"{BLOCK}/mlp_norm"),
            *linear(f"{layer}.intermediate.dense", f"{BLOCK}/mlp/hidden"),
            *linear(f"{layer}.output.dense", f"{BLOCK}/mlp/output"),
            *torch_norm("decoder_norm", "norm"),
            *linear("decoder_pred", "pixels"),
        )
        self.ignored = (r"(?!decoder\.).*",)


# As the hub has them, and as transformers 5.24 writes them.
_LAYOUTS = tuple(map(_DecoderLayout, ("decoder_layers.{i}", "decoder_encoder.layer.{i}")))


def load_decoder(
    source: str | os.PathLike,
    config: VisionTransformerConfig,
    grid_size: tuple[int, int],
    num_visible: int,
) -> keras.Model:
    """Loads a decoder.

    Args:
        source: the `decoder.keras` that a run wrote; or a checkpoint of transformers'
            `ViTMAEForPreTraining`: a folder, a `.safetensors` file or `"hf://owner/repo"`.
        config: of the encoder, and so the next two.
        grid_size: (rows, columns) of the patches.
        num_visible: patches that the encoder sees.

    Returns:
        A model as of `build_decoder`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken one, or a decoder of another encoder.
    """
    source = os.fspath(source)
    if is_keras_model(source):
        decoder = load_archive(source)
    else:
        decoder = _load_foreign(source, config, grid_size, num_visible)
    wanted = (config.num_prefix_tokens + num_visible, config.hidden_size)
    found = tuple(decoder.inputs[0].shape[1:])
    if found != wanted:
        raise ValueError(
            f"Expected a decoder of {wanted[0]} tokens of {wanted[1]} numbers. Received: {source!r}"
            f" for {found[0]} of {found[1]}. Use the model, image size and mask_ratio of its run."
        )
    return decoder


def _load_foreign(
    source: str, config: VisionTransformerConfig, grid_size: tuple[int, int], num_visible: int
) -> keras.Model:
    file = open_checkpoint(local_path(source))
    found = [bound for layout in _LAYOUTS if (bound := layout.bind(file)) is not None]
    if not found:
        raise ValueError(
            "Expected a `decoder.keras`, or a checkpoint of ViTMAEForPreTraining with its "
            f"decoder. Received: {source!r} without one."
        )
    bound = min(found, key=lambda bound: len(bound.unexpected))
    block = BLOCK.removesuffix("{i}")
    decoder = build_decoder(
        config,
        grid_size,
        num_visible,
        hidden_size=bound.shapes["embed/kernel"][1],
        num_layers=len({name.split("/")[0] for name in bound.shapes if name.startswith(block)}),
        num_heads=int((file.config or {}).get("decoder_num_attention_heads", 16)),
    )
    arrays = {
        name.replace(block, "block_"): array for name, array in bound.arrays(set(bound.shapes))
    }
    variables = {variable.path: variable for variable in decoder.variables}
    wrong = sorted(set(arrays) ^ set(variables)) + [
        name for name in set(arrays) & set(variables) if arrays[name].shape != variables[name].shape
    ]
    if wrong:
        raise ValueError(
            f"Expected the decoder of an encoder of {config.hidden_size} numbers a token, "
            f"{grid_size[0]} x {grid_size[1]} patches of {config.patch_size} pixels. Received: "
            f"{source!r}, in which these do not fit: {wrong[:6]}."
        )
    for name, array in arrays.items():
        variables[name].assign(array)
    return decoder
