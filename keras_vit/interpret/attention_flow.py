"""Attention maps of all blocks -> how much each patch reaches the image's answer.

Plain arrays in, plain arrays out; `attention_measures.py` feeds it from a model.

Reference: Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928),
section 3; "An Image is Worth 16x16 Words" (arXiv 2010.11929), appendix D.8, Figures 6 and 14.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from keras import ops

from keras_vit.checks import check_choice, check_number

HEAD_FUSIONS = {"mean": np.mean, "max": np.max, "min": np.min}
_TWO_HEADS = {"mean": np.add, "max": np.maximum, "min": np.minimum}


def fuse_heads(heads: Iterable[np.ndarray], fusion: str) -> np.ndarray:
    """Fuses heads that come one after the other, to the bits of `HEAD_FUSIONS` over all of them.

    Args:
        heads: maps of one head each, (batch, 1, tokens, tokens).
        fusion: a key of `HEAD_FUSIONS`.

    Returns:
        (batch, 1, tokens, tokens).
    """
    fused, count = None, 0
    for head in heads:
        fused = np.array(head) if fused is None else _TWO_HEADS[fusion](fused, head, out=fused)
        count += 1
    return np.divide(fused, count, out=fused) if fusion == "mean" else fused


def check_attention(attention: Any, num_prefix_tokens: int, grid: tuple[int, int]) -> np.ndarray:
    """Returns one block's attention as a float32 array and checks that it fits the grid.

    Args:
        attention: attention weights, (batch, heads, tokens, tokens), query before key.
        num_prefix_tokens: tokens in front of the patches, at least 0.
        grid: patches as (rows, columns).

    Raises:
        ValueError: another rank, or a number of tokens that is not prefix tokens plus patches.
    """
    if not isinstance(attention, np.ndarray):  # of which Keras would make a copy
        attention = ops.convert_to_numpy(attention)
    attention = np.asarray(attention, dtype=np.float32)
    tokens = num_prefix_tokens + grid[0] * grid[1]
    if attention.ndim != 4 or attention.shape[2:] != (tokens, tokens):
        raise ValueError(
            f"Expected attention of shape (batch, heads, {tokens}, {tokens}) for "
            f"{num_prefix_tokens} prefix tokens and a grid of {tuple(grid)} patches. "
            f"Received: shape {attention.shape}."
        )
    return attention


def _discard_lowest(fused: np.ndarray, discard_ratio: float) -> np.ndarray:
    """Sets the lowest part of each image's weights to zero."""
    flat = fused.reshape(len(fused), -1)
    count = int(discard_ratio * flat.shape[1])
    if not count:
        return fused
    threshold = np.partition(flat, count, axis=1)[:, count, None, None]
    return np.where(fused < threshold, np.float32(0), fused)


def _readout(weights: Any, batch: int, num_prefix_tokens: int, tokens: int) -> np.ndarray:
    """The row vector (batch, 1, tokens) that says which final tokens are asked."""
    if weights is None:
        weights = np.arange(tokens) == 0 if num_prefix_tokens else np.full(tokens, 1 / tokens)
    weights = np.asarray(ops.convert_to_numpy(weights), dtype=np.float32)
    if weights.shape not in ((tokens,), (batch, tokens)):
        raise ValueError(
            f"Expected `readout` of shape ({tokens},) or ({batch}, {tokens}). "
            f"Received: shape {weights.shape}."
        )
    return np.broadcast_to(weights, (batch, tokens))[:, None, :]


def rollout_matrix(
    attentions: Iterable[Any],
    num_prefix_tokens: int,
    grid: tuple[int, int],
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    behind_block: Callable[[np.ndarray], np.ndarray] | None = None,
    left_out: np.ndarray | None = None,
) -> np.ndarray:
    """Multiplies the attention of all blocks into one matrix, token to token.

    Arguments are those of `rollout`; `attentions` may be an iterator, of which one item is held at
    a time. `behind_block` says what becomes of the product where tokens merge, `left_out`,
    (batch, patches) bool, which patches give nothing.

    Returns:
        (batch, tokens, tokens) float32; entry (i, j) is the part of input token j in final token i,
        every row sums to one.

    Raises:
        ValueError: as `rollout`.
    """
    check_choice("head_fusion", head_fusion, tuple(HEAD_FUSIONS))
    check_number("discard_ratio", discard_ratio, "[0, 1)")
    result = None
    for attention in attentions:
        attention = check_attention(attention, num_prefix_tokens, grid)
        fused = HEAD_FUSIONS[head_fusion](attention, axis=1)  # (batch, tokens, tokens)
        del attention  # an iterator may now make the next map without keeping this one
        if left_out is not None:
            fused[:, :, num_prefix_tokens:] *= ~left_out[:, None]
            fused /= np.maximum(fused.sum(axis=-1, keepdims=True), 1e-12)
        if discard_ratio:
            fused = _discard_lowest(fused, discard_ratio)
        mixed = fused + np.eye(fused.shape[-1], dtype=np.float32)
        mixed /= mixed.sum(axis=-1, keepdims=True)
        result = mixed if result is None else mixed @ result
        if behind_block is not None:
            result = behind_block(result)
    if result is None:
        raise ValueError("Expected the attention of at least one block. Received: none.")
    return result


def rollout(
    attentions: Iterable[Any],
    num_prefix_tokens: int,
    grid: tuple[int, int],
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    readout: Any = None,
) -> np.ndarray:
    """Rolls the attention of all blocks out onto the patches of the image.

    With A the fused heads of a block, A' = (A + I) with every row divided by its sum, and
    R = A'_last ... A'_1 A'_0, the result is the row of R that belongs to the class token, without
    the columns of the prefix tokens. It is not rescaled.

    Args:
        attentions: attention weights of block 0, 1, ..., each (batch, heads, tokens, tokens),
            query before key; a list or an iterator (one block is held at a time).
        num_prefix_tokens: tokens in front of the patches (class, distillation, registers).
        grid: patches as (rows, columns).
        head_fusion: `"mean"`, `"max"` or `"min"` over the heads.
        discard_ratio: part of each image's fused weights, the lowest ones, that is set to zero in
            each block before the identity is added; in [0, 1).
        readout: which final tokens are asked, as weights (tokens,) or (batch, tokens). None asks
            token 0 (the class token), or, with no prefix token, the mean over all patches.

    Returns:
        (batch, grid rows, grid columns) float32; at least 0, and the sum of an image is at most 1
        (the rest stays in the prefix tokens).

    Raises:
        ValueError: an unknown fusion, a ratio outside [0, 1), no block, or shapes that disagree.

    Reference: arXiv 2005.00928, section 3; arXiv 2010.11929, appendix D.8.
    """
    matrix = rollout_matrix(attentions, num_prefix_tokens, grid, head_fusion, discard_ratio)
    return read_rollout(matrix, num_prefix_tokens, grid, readout)


def read_rollout(
    matrix: np.ndarray, num_prefix_tokens: int, grid: tuple[int, int], readout: Any = None
) -> np.ndarray:
    """Reads the map of the patches out of a rollout matrix.

    Args:
        matrix: (batch, tokens, tokens) from `rollout_matrix`.
        num_prefix_tokens: tokens in front of the patches.
        grid: patches as (rows, columns).
        readout: as for `rollout`.

    Returns:
        (batch, grid rows, grid columns) float32.
    """
    batch, tokens, _ = matrix.shape
    row = (_readout(readout, batch, num_prefix_tokens, tokens) @ matrix)[:, 0]
    return row[:, num_prefix_tokens:].reshape(batch, *grid)
