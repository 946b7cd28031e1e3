"""Walks a model block by block, also where blocks merge tokens, and speaks of the full sequence.

A merged token stands for `size` patches, and its key counts as often (proportional attention). So
each of its patches has the attention of the merged token as its row, and an equal part of what the
merged token is given: that is the attention of a sequence in which it occurs `size` times.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_vit.layers.token_merging import take_tokens
from keras_vit.layers.token_state import TokenState


def run_block(block: Any, state: TokenState) -> TokenState:
    """Runs one block, without dropout."""
    return TokenState.of(block(*state, training=False))


def observe_block(block: Any, state: TokenState) -> tuple[TokenState, Any]:
    """Runs one block, without dropout, and returns its attention weights too, as the block does."""
    *outputs, attention = block(*state, training=False, return_attention=True)
    return TokenState(*outputs), attention


def full_tokens(state: TokenState) -> Any:
    """Returns `(batch, all tokens, hidden)`: each merged token at every place it came from."""
    return state.tokens if state.places is None else take_tokens(state.tokens, state.places)


def full_attention(attention: np.ndarray, state: TokenState) -> np.ndarray:
    """Spreads the attention of merged tokens over the full sequence.

    Args:
        attention: (batch, heads, tokens, tokens).
        state: what entered the block.

    Returns:
        (batch, heads, all tokens, all tokens); every row still sums to one.
    """
    if state.places is None:
        return attention
    sizes, places = ops.convert_to_numpy(state.sizes), ops.convert_to_numpy(state.places)
    share = attention / sizes[:, None, None, :].astype(attention.dtype)
    rows = np.take_along_axis(share, places[:, None, :, None], axis=2)
    return np.take_along_axis(rows, places[:, None, None, :], axis=3)


def average_merged(matrix: np.ndarray, state: TokenState) -> np.ndarray:
    """Averages the rows of tokens that are merged: what merging does to the tokens themselves.

    Args:
        matrix: (batch, all tokens, columns).
        state: what left the block.

    Returns:
        (batch, all tokens, columns), the same row for all parts of a merged token.
    """
    if state.places is None:
        return matrix
    groups = _one_hot(state)
    means = groups.transpose(0, 2, 1) @ matrix / groups.sum(axis=1)[:, :, None]
    return groups @ means


def gather_full(values: Any, state: TokenState) -> Any:
    """Adds up what belongs to the parts of each merged token.

    Args:
        values: (batch, all tokens, columns), an array or a tensor.
        state: the sequence.

    Returns:
        (batch, tokens, columns).
    """
    if state.places is None:
        return values
    groups = ops.convert_to_tensor(_one_hot(state), dtype=values.dtype)
    summed = ops.matmul(ops.transpose(groups, (0, 2, 1)), values)
    return ops.convert_to_numpy(summed) if isinstance(values, np.ndarray) else summed


def split_row(row: np.ndarray, before: TokenState, after: TokenState) -> np.ndarray:
    """Hands what a merged token has back to the tokens it was made of, by their sizes.

    Args:
        row: (batch, tokens behind the block).
        before: what entered the block.
        after: what left it.

    Returns:
        (batch, tokens in front of the block), with the same sums.
    """
    if after.places is None:
        return row
    places, sizes = ops.convert_to_numpy(after.places), ops.convert_to_numpy(after.sizes)
    full = np.take_along_axis(row / sizes.astype(row.dtype), places, axis=1)
    return gather_full(full[:, :, None], before)[:, :, 0]


def _one_hot(state: TokenState) -> np.ndarray:
    """(batch, all tokens, tokens) float32: which token holds each token of the full sequence."""
    places = ops.convert_to_numpy(state.places)
    return (places[:, :, None] == np.arange(state.tokens.shape[1])).astype(np.float32)
