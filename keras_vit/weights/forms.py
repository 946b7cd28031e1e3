"""How an array is laid out in a source file, and how it becomes the canonical one and back.

Canonical arrays are those of the Keras model: kernels `(in, out)` or `(height, width, in, out)`,
patch kernels `(patch * patch * channels, hidden)`, vectors flat.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The numbers that a canonical array no longer shows, for the way back.

    Attributes:
        patch_size: side of a patch.
        num_heads: attention heads.
    """

    patch_size: int
    num_heads: int


@dataclasses.dataclass(frozen=True)
class Form:
    """One way to lay out an array.

    Attributes:
        ndims: numbers of axes that the stored array may have.
        forward: stored array to canonical array.
        back: canonical array and `Sizes` to stored array.
    """

    ndims: tuple[int, ...]
    forward: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray, Sizes], np.ndarray]


def _merge_front(array):
    return array.reshape(-1, array.shape[-1])


def _without_keys(array):
    query, key, value = np.array_split(array, 3)
    return np.concatenate([query, np.zeros_like(key), value])


FORMS: dict[str, Form] = {
    # The same in both.
    "same": Form((1, 2, 3, 4), lambda a: a, lambda a, s: a),
    # torch.nn.Linear: (out, in) <-> (in, out).
    "linear": Form((2,), lambda a: a.T, lambda a, s: a.T),
    # torch.nn.Conv2d: (out, in, height, width) <-> (height, width, in, out).
    "conv": Form((4,), lambda a: a.transpose(2, 3, 1, 0), lambda a, s: a.transpose(3, 2, 0, 1)),
    # The patch embedding of torch: (D, C, P, P) <-> (P * P * C, D); of patches that were cut before
    # (NaFlex) it is (D, P * P * C).
    "torch_patch": Form(
        (2, 4),
        lambda a: a.T if a.ndim == 2 else _merge_front(a.transpose(2, 3, 1, 0)),
        lambda a, s: a.reshape(s.patch_size, s.patch_size, -1, a.shape[-1]).transpose(3, 2, 0, 1),
    ),
    # The patch embedding of Flax: (P, P, C, D) <-> (P * P * C, D).
    "flax_patch": Form(
        (4,),
        _merge_front,
        lambda a, s: a.reshape(s.patch_size, s.patch_size, -1, a.shape[-1]),
    ),
    # Query, key and value of Flax: (D, heads, head_dim) <-> (D, D) and (heads, head_dim) <-> (D,).
    "heads_kernel": Form(
        (3,),
        lambda a: a.reshape(a.shape[0], -1),
        lambda a, s: a.reshape(a.shape[0], s.num_heads, -1),
    ),
    "heads_bias": Form((2,), lambda a: a.reshape(-1), lambda a, s: a.reshape(s.num_heads, -1)),
    # The output of attention in Flax: (heads, head_dim, D) <-> (D, D).
    "heads_output": Form((3,), _merge_front, lambda a, s: a.reshape(s.num_heads, -1, a.shape[-1])),
    # Group norms, stored (C,) or, in older hybrid files, (1, 1, 1, C) <-> (C,).
    "flat": Form((1, 4), lambda a: a.reshape(-1), lambda a, s: a),
    # A token stored as (D,) <-> (1, 1, D), and a table stored as (N, D) <-> (1, N, D).
    "token": Form((1, 3), lambda a: a.reshape(1, 1, -1), lambda a, s: a.reshape(-1)),
    # Learned rotary frequencies, of columns and rows (2, heads, head_dim / 2) <-> of rows, columns.
    "columns_first": Form((3,), lambda a: a[::-1], lambda a, s: a[::-1]),
    # A bias of query, key and value, that of the keys taken for 0.
    "without_keys": Form((1,), _without_keys, lambda a, s: a),
    # Positions stored as (1, N, D) or, by rows and columns, as (1, R, C, D) <-> (1, N, D).
    "positions": Form((3, 4), lambda a: a.reshape(1, -1, a.shape[-1]), lambda a, s: a),
    "table": Form((2,), lambda a: a[None], lambda a, s: a[0]),
}


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    """Puts arrays side by side along the last axis; one alone is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)


def parted(array: np.ndarray, shares: tuple[int, ...]) -> list[np.ndarray]:
    """Cuts the last axis in proportion to `shares`.

    Raises:
        ValueError: the axis cannot be cut so.
    """
    if len(shares) == 1:
        return [array]
    unit, rest = divmod(array.shape[-1], sum(shares))
    if rest:
        raise ValueError(f"an axis of {array.shape[-1]} cannot be cut in parts {shares}")
    ends = np.cumsum(shares)[:-1] * unit
    return np.split(array, ends, axis=-1)
