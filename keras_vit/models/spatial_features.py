"""A Vision Transformer as the backbone of a detector or a segmenter: features on a grid."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_vit import layers
from keras_vit.checks import check_int, is_int
from keras_vit.layers.token_state import TokenState
from keras_vit.models.inside import find_vision_transformer
from keras_vit.models.vision_transformer import VisionTransformer


def feature_maps(
    model: keras.Model,
    blocks: int | Iterable[int],
    norm: bool = True,
    *,
    prefix_tokens: bool = False,
) -> keras.Model:
    """Makes a model that returns the features of the patches behind chosen blocks, on their grid.

    Args:
        model: a `keras_vit.VisionTransformer`, or a model with one inside; its weights are shared,
            not copied, and are trained with what is built on top.
        blocks: block numbers counted from 0 (negative: from the last), or one number.
        norm: whether the model's last norm is applied to each, as for its own output; not where
            the model norms the pooled vector.
        prefix_tokens: whether the tokens in front of the patches are returned too.

    Returns:
        A `keras.Model` with the inputs of the Vision Transformer. Its output is a list with one
        `(batch, rows, columns, hidden_size)` for each block; with `prefix_tokens` each is a pair,
        with `(batch, prefix tokens, hidden_size)`. Where blocks merge tokens, each merged token
        stands at all its places.

    Raises:
        ValueError: another kind of model, or unknown blocks.

    Reference: the maps are those of timm's `forward_intermediates` and of transformers'
    `Dinov2Backbone`.
    """
    vit = find_vision_transformer(model)
    config, images = vit.config, vit.parts.ways["images"].output
    to_grid = layers.PatchGrid(
        config.patch_stride, num_prefix_tokens=config.num_prefix_tokens, dtype=vit.dtype_policy
    )
    outputs = []
    for number in block_numbers(config.num_layers, [blocks] if is_int(blocks) else blocks):
        tokens = full_tokens(vit, vit.parts.behind[number])
        tokens = vit.parts.finish(tokens) if norm else tokens
        grid = to_grid(tokens, images)
        outputs.append((grid, tokens[:, : config.num_prefix_tokens]) if prefix_tokens else grid)
    return keras.Model(_inputs(vit), outputs, name="feature_maps")


def feature_pyramid(
    model: keras.Model, block: int = -1, *, channels: int = 256, norm: bool = True
) -> keras.Model:
    """Makes a pyramid of maps out of one, for detectors and segmenters that want several scales.

    The map behind one block is enlarged four and two times by transposed convolutions, kept, and
    halved by a maximum; to each a convolution of 1 and one of 3 steps with norms are added. Patches
    of 16 pixels give strides of 4, 8, 16 and 32 pixels.

    Args:
        model: a `keras_vit.VisionTransformer`, or a model with one inside; its weights are shared.
        block: of which block, counted from 0 (negative: from the last).
        channels: of all maps.
        norm: as for `feature_maps`.

    Returns:
        A `keras.Model` with the inputs of the Vision Transformer, and a list of four
        `(batch, rows, columns, channels)`, the finest first. The new layers are to be trained.

    Raises:
        ValueError: another kind of model, or an unknown block.

    Reference: "Exploring Plain Vision Transformer Backbones for Object Detection"
    (arXiv 2203.16527), section 3 and appendix A.2.
    """
    check_int("channels", channels, 1)
    vit = find_vision_transformer(model)
    backbone = feature_maps(vit, block, norm)
    (whole,) = backbone.outputs
    policy, hidden = vit.dtype_policy, vit.config.hidden_size

    def double(x, filters, name):
        return keras.layers.Conv2DTranspose(filters, 2, strides=2, dtype=policy, name=name)(x)

    def normed(x, name):
        return layers.LayerNormalization(epsilon=1e-6, dtype=policy, name=name)(x)

    twice = double(whole, hidden // 2, "twice")
    fourfold = double(whole, hidden // 2, "fourfold_1")
    fourfold = keras.layers.Activation("gelu", dtype=policy)(normed(fourfold, "fourfold_norm"))
    fourfold = double(fourfold, hidden // 4, "fourfold_2")
    half = keras.layers.MaxPooling2D(2, dtype=policy, name="half")(whole)
    outputs = []
    for level, x in enumerate((fourfold, twice, whole, half)):
        for size in (1, 3):
            convolution = keras.layers.Conv2D(
                channels, size, padding="same", use_bias=False, dtype=policy,
                name=f"level_{level}_conv_{size}",
            )  # fmt: skip
            x = normed(convolution(x), f"level_{level}_norm_{size}")
        outputs.append(x)
    return keras.Model(backbone.input, outputs, name="feature_pyramid")


def full_tokens(model: VisionTransformer, state: TokenState) -> Any:
    """Returns the symbolic tokens of a state, merged ones at all their places.

    Args:
        model: a `keras_vit.VisionTransformer`.
        state: of `model.parts.behind`.
    """
    if state.places is None:
        return state.tokens
    return layers.TokenUnmerging(dtype=model.dtype_policy)(state.tokens, state.places)


def _inputs(model: VisionTransformer) -> Any:
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs


def block_numbers(depth: int, blocks: Iterable[int]) -> list[int]:
    """Returns block numbers counted from 0; negative ones count from the last.

    Args:
        depth: blocks of the model.
        blocks: numbers.

    Raises:
        ValueError: no number, or one that the model does not have.
    """
    numbers = list(blocks)
    if not numbers or any(not is_int(n) or not -depth <= n < depth for n in numbers):
        raise ValueError(
            f"Expected block numbers from 0 to {depth - 1} (or from -{depth} to -1). "
            f"Received: {numbers}."
        )
    return [number % depth for number in numbers]
