"""Attention maps -> how far each head looks, in pixels.

Plain arrays in, plain arrays out; `attention_measures.py` feeds it from a model.

Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 4.5, appendix D.7, Figure 11.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_vit.interpret.attention_flow import check_attention


def patch_distances(grid: tuple[int, int], patch_size: float) -> np.ndarray:
    """Returns the distance between the centres of any two patches.

    Args:
        grid: patches as (rows, columns).
        patch_size: pixels from one patch to the next.

    Returns:
        (patches, patches) float32 in pixels, patches in row-major order.
    """
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    steps = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    return (patch_size * steps).astype(np.float32)


def _of_block(between_patches: np.ndarray, distances: np.ndarray, renormalize: bool) -> np.ndarray:
    """(batch, heads, patches, patches), (patches, patches) -> (heads,)."""
    per_query = np.einsum("bhij,ij->bhi", between_patches, distances)
    if renormalize:
        total = between_patches.sum(axis=-1)
        per_query = np.divide(per_query, total, out=np.zeros_like(per_query), where=total > 0)
    return per_query.mean(axis=(0, 2))


def mean_attention_distance(
    attentions: Iterable[Any],
    num_prefix_tokens: int,
    grid: tuple[int, int],
    patch_size: float,
    renormalize: bool = False,
) -> np.ndarray:
    """Measures how far each head of each block looks, on average.

    The distance of a query patch i is the sum over patches j of A_ij |p_i - p_j|; its mean over
    queries and images is the distance of the head. Prefix tokens count neither as queries nor as
    keys.

    Args:
        attentions: attention weights of block 0, 1, ..., each (batch, heads, tokens, tokens),
            query before key; a list or an iterator (one block is held at a time).
        num_prefix_tokens: tokens in front of the patches (class, distillation, registers).
        grid: patches as (rows, columns).
        patch_size: pixels from one patch to the next.
        renormalize: whether each row over the patches is divided by its sum first, so that what a
            query gives to the prefix tokens does not count as distance 0.

    Returns:
        (layers, heads) float32 in pixels.

    Raises:
        ValueError: no block, or shapes that disagree.

    Reference: arXiv 2010.11929, appendix D.7, Figure 11.
    """
    layers, patches = [], slice(num_prefix_tokens, None)
    distances = patch_distances(grid, patch_size)
    for attention in attentions:
        attention = check_attention(attention, num_prefix_tokens, grid)
        layers.append(_of_block(attention[:, :, patches, patches], distances, renormalize))
        del attention  # an iterator may now make the next map without keeping this one
    if not layers:
        raise ValueError("Expected the attention of at least one block. Received: none.")
    return np.stack(layers)
