"""A model and images -> attention maps, rollout and attention distance.

The maps are taken from outside, block by block: `model.embed`, then each block is asked for its
weights. What `model(images)` runs stays as it is, and one map is held at a time. Where blocks merge
tokens, the maps are those of the full sequence.
"""

from collections.abc import Container, Iterable, Iterator
from typing import Any

import numpy as np

from keras_vit.checks import check_choice
from keras_vit.interpret.attention_flow import (
    HEAD_FUSIONS,
    fuse_heads,
    read_rollout,
    rollout_matrix,
)
from keras_vit.interpret.distance import mean_attention_distance
from keras_vit.interpret.merged import (
    average_merged,
    full_attention,
    full_tokens,
    observe_block,
    run_block,
)
from keras_vit.interpret.observe import (
    batches,
    check_images,
    grid_of,
    readout,
    to_array,
)
from keras_vit.layers.token_state import TokenState
from keras_vit.models.config import config_of
from keras_vit.models.spatial_features import block_numbers


class AttentionWalk:
    """Walks a batch through the blocks and hands out one attention map at a time.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        blocks: numbers of those whose maps are handed out; None is all.
        head_fusion: how the heads of a map are fused, a key of `HEAD_FUSIONS`; None for all heads.

    Attributes:
        state: the sequence behind the last block walked, a `TokenState`.
        tokens: the same, (batch, tokens, hidden), merged tokens at all their places.
    """

    def __init__(
        self,
        model: Any,
        images: Any,
        blocks: Container[int] | None = None,
        head_fusion: str | None = None,
    ):
        images = check_images(model, images)
        self._blocks, self._asked, self._fusion = model.blocks, blocks, head_fusion
        self.state = TokenState.of(model.embed(images))

    @property
    def tokens(self) -> Any:
        return full_tokens(self.state)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields (batch, heads or 1, tokens, tokens) float32 for each block; no map is kept."""
        for number, block in enumerate(self._blocks):
            before = self.state
            if self._asked is not None and number not in self._asked:
                self.state = run_block(block, before)
                continue
            self.state, attention = observe_block(block, before)
            if self._fusion is None:
                array = full_attention(to_array(attention), before)
            else:  # a whole map in a second place would be most of the memory
                places = range(attention.shape[1])
                heads = (attention[:, place : place + 1] for place in places)
                heads = (full_attention(to_array(head), before) for head in heads)
                array = fuse_heads(heads, self._fusion)
                del heads
            del attention, before
            yield array
            del array


def iter_attention(model: Any, images: Any) -> Iterator[np.ndarray]:
    """Yields the attention map of each block, first to last, holding one at a time.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).

    Yields:
        (batch, heads, tokens, tokens) float32, query before key; every row sums to one.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    return iter(AttentionWalk(model, images))


def attention_maps(
    model: Any, images: Any, blocks: Iterable[int] | None = None
) -> list[np.ndarray]:
    """Returns the attention maps of chosen blocks.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        blocks: which blocks, counted from 0 (negative: from the last); None is all of them, which
            for ViT-B/16 at 384 px takes 190 MB an image. Use `iter_attention` to look at one block
            after the other.

    Returns:
        One array (batch, heads, tokens, tokens) float32 for each entry of `blocks`, in its order.

    Raises:
        ValueError: another kind of model, images that it does not take, or unknown blocks.
    """
    depth = config_of(model).num_layers
    numbers = block_numbers(depth, range(depth) if blocks is None else blocks)
    kept = dict(zip(sorted(set(numbers)), AttentionWalk(model, images, numbers), strict=False))
    return [kept[number] for number in numbers]


def attention_rollout(
    model: Any,
    images: Any,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    *,
    first_block: int = 0,
    left_out: Any = None,
    batch_size: int = 8,
) -> np.ndarray:
    """Shows which patches reach the model's output through the attention of all blocks.

    The output is read where the model reads it: at the class token; with attention pooling at the
    tokens the probe looks at; with mean or maximum over the tokens, at all that are pooled alike.
    Where a block merges tokens, the rows of what it merges are averaged as the tokens are.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        head_fusion: `"mean"`, `"max"` or `"min"` over the heads.
        discard_ratio: part of the lowest weights that is dropped in each block, in [0, 1).
        first_block: where the rollout begins; 0 is the paper's. The first blocks of a large model
            may look at places more than at what is there (`docs/explanations.md` has figures).
        left_out: patches that give nothing to others in any block, (batch, grid rows, grid columns)
            bool, such as `artifact_patches` finds; None leaves none out.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns) float32, not rescaled: at least 0, sums to at most 1.

    Raises:
        ValueError: another kind of model, images that it does not take, or an impossible option.

    Reference: arXiv 2005.00928, section 3; arXiv 2010.11929, appendix D.8, Figure 6.
    """
    config = config_of(model)
    check_choice("head_fusion", head_fusion, tuple(HEAD_FUSIONS))
    images = check_images(model, images)
    (first_block,) = block_numbers(config.num_layers, [first_block])
    grid, prefix = grid_of(model, images), config.num_prefix_tokens
    left_out = _check_left_out(left_out, (len(images), *grid))
    maps = []
    for index, piece in enumerate(batches(images, batch_size)):
        walk = AttentionWalk(model, piece, range(first_block, config.num_layers), head_fusion)
        start = index * batch_size
        matrix = rollout_matrix(
            walk,
            prefix,
            grid,
            head_fusion,
            discard_ratio,
            behind_block=lambda matrix, walk=walk: average_merged(matrix, walk.state),
            left_out=None if left_out is None else left_out[start : start + len(piece)],
        )
        maps.append(read_rollout(matrix, prefix, grid, readout(model, walk.tokens)))
    return np.concatenate(maps)


def _check_left_out(left_out: Any, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Returns (batch, patches) bool, or None."""
    if left_out is None:
        return None
    left_out = np.asarray(left_out)
    if left_out.shape != shape or left_out.dtype != bool:
        raise ValueError(
            f"Expected `left_out` of shape {shape} and type bool. "
            f"Received: shape {left_out.shape}, {left_out.dtype}."
        )
    return left_out.reshape(shape[0], -1)


def head_attention(model: Any, images: Any, block: int = -1, *, batch_size: int = 8) -> np.ndarray:
    """Shows where each head of a block looks, from the tokens that the model's output reads.

    Those are the class token, or with mean or maximum over the tokens all that are pooled alike;
    with attention pooling each final token as much as the probe looks at it.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        block: counted from 0 (negative: from the last).
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, heads, grid rows, grid columns) float32; sums to at most 1 for a head.

    Raises:
        ValueError: another kind of model, images that it does not take, or an unknown block.
    """
    config = config_of(model)
    images = check_images(model, images)
    (number,) = block_numbers(config.num_layers, [block])
    grid, prefix = grid_of(model, images), config.num_prefix_tokens
    maps = []
    for piece in batches(images, batch_size):
        walk = AttentionWalk(model, piece, [number])
        (attention,) = walk
        looks = np.einsum("bq,bhqk->bhk", readout(model, walk.tokens), attention)[:, :, prefix:]
        maps.append(looks.reshape(len(piece), -1, *grid))
    return np.concatenate(maps)


def attention_distance(
    model: Any, images: Any, renormalize: bool = False, *, batch_size: int = 8
) -> np.ndarray:
    """Measures how far each head of each block looks, on average over the images.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        renormalize: whether what a patch gives to prefix tokens is left out of its average.
        batch_size: images at a time; bounds the memory.

    Returns:
        (layers, heads) float32 in pixels of the image; for a hybrid too, whose patches are
        `config.patch_stride` pixels apart.

    Raises:
        ValueError: another kind of model, or images that it does not take.

    Reference: arXiv 2010.11929, appendix D.7, Figure 11.
    """
    config = config_of(model)
    images = check_images(model, images)
    grid, prefix = grid_of(model, images), config.num_prefix_tokens
    total = np.zeros((config.num_layers, config.num_heads), np.float64)
    for piece in batches(images, batch_size):
        total += len(piece) * mean_attention_distance(
            iter_attention(model, piece), prefix, grid, config.patch_stride, renormalize
        )
    return (total / len(images)).astype(np.float32)
