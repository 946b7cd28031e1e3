"""Relative position bias: heads look more, or less, at what lies at a certain distance.

A number for each head is added to the product of a query and a key before the softmax. It depends
on how many rows and columns lie between them; for tokens in front of the patches it does not.

Reference: "BEiT" (arXiv 2106.08254), section 2; "Swin Transformer V2" (arXiv 2111.09883), section
3.3, for bias that an MLP makes of the logarithms of the distances.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.checks import check_choice
from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.position_resize import interpolation_matrix
from keras_vit.vocabulary import PREFIX_ROWS, RELATIVE_BIASES


@keras.saving.register_keras_serializable(package="keras_vit")
class RelativePositionBias(CompositeLayer):
    """Makes the bias of a grid of patches and the tokens in front of it.

    Args:
        num_heads: attention heads.
        grid_size: (rows, columns) of the distances in the table.
        num_prefix_tokens: tokens in front of the patches.
        kind: `"table"`: a learned row for each distance, and where there are prefix tokens three
            more; `"mlp"`: what an MLP with a ReLU makes of the logarithms of the distances, and 0
            for prefix tokens.
        hidden_size: width of that MLP.
        interpolation: how the table is resized to another grid, see `resize_bias_table`.

    Input: a tensor `(batch, rows, columns)`, whose shape alone counts. Output: float32
    `(1, heads, tokens, tokens)`, queries first.
    """

    def __init__(
        self,
        num_heads: int,
        grid_size: tuple[int, int],
        *,
        num_prefix_tokens: int = 0,
        kind: str = "table",
        hidden_size: int | None = None,
        interpolation: str = "linear",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_choice("kind", kind, RELATIVE_BIASES)
        self.num_heads = num_heads
        self.grid_size = tuple(grid_size)
        self.num_prefix_tokens = num_prefix_tokens
        self.kind = kind
        self.hidden_size = hidden_size
        self.interpolation = interpolation

    def build(self, input_shape):
        if self.kind == "table":
            rows, columns = (2 * side - 1 for side in self.grid_size)
            beyond = PREFIX_ROWS if self.num_prefix_tokens else 0
            self.table = self.add_weight(
                shape=(rows * columns + beyond, self.num_heads), initializer="zeros", name="table"
            )
        else:
            self.hidden = keras.layers.Dense(
                self.hidden_size, activation="relu", dtype="float32", name="hidden"
            )
            self.output_dense = keras.layers.Dense(self.num_heads, dtype="float32", name="output")
            self.hidden.build((None, 2))
            self.output_dense.build((None, self.hidden_size))
        self.finish_build()

    def call(self, grid):
        rows, columns = ops.shape(grid)[1:3]
        # By heads first: the gradient of the table is whole, and no large bias is transposed.
        heads = ops.transpose(self._rows(rows, columns))
        return ops.take(heads, self._places(rows, columns), axis=1)[None]

    def _rows(self, rows: Any, columns: Any) -> Any:
        """Returns a row of heads for each distance, and those of prefix tokens."""
        if self.kind == "table":
            new, beyond = (rows, columns), PREFIX_ROWS if self.num_prefix_tokens else 0
            return resize_bias_table(self.table, self.grid_size, new, beyond, self.interpolation)
        lines = []
        for side in (rows, columns):
            steps = ops.arange(2 * side - 1, dtype="float32") - ops.cast(side - 1, "float32")
            lines.append(ops.sign(steps) * ops.log(1.0 + ops.abs(steps)))
        shape = (2 * rows - 1, 2 * columns - 1)
        distances = ops.stack(
            [ops.broadcast_to(lines[0][:, None], shape), ops.broadcast_to(lines[1][None], shape)],
            axis=-1,
        )
        made = self.output_dense(self.hidden(ops.reshape(distances, (-1, 2))))
        return ops.pad(made, ((0, PREFIX_ROWS), (0, 0)))

    def _places(self, rows: Any, columns: Any) -> Any:
        """Returns which row each query and key have, `(tokens, tokens)`."""
        patches = ops.arange(rows * columns)
        row, column = patches // columns, patches % columns
        apart_y = row[:, None] - row[None] + rows - 1
        apart_x = column[:, None] - column[None] + columns - 1
        places = apart_y * (2 * columns - 1) + apart_x
        prefix = self.num_prefix_tokens
        if not prefix:
            return places
        places = ops.pad(places, ((prefix, 0), (prefix, 0)))
        is_patch = ops.arange(rows * columns + prefix) >= prefix
        query, key = is_patch[:, None], is_patch[None]
        last = (2 * rows - 1) * (2 * columns - 1)
        beyond = ops.where(query, last + 1, ops.where(key, last, last + 2))
        return ops.where(ops.logical_and(query, key), places, ops.cast(beyond, places.dtype))

    def compute_output_spec(self, grid):
        _, rows, columns = grid.shape
        known = rows is not None and columns is not None
        tokens = rows * columns + self.num_prefix_tokens if known else None
        return keras.KerasTensor((1, self.num_heads, tokens, tokens), "float32")


def first_places(order: Any, count: int, num_prefix_tokens: int) -> Any:
    """Returns the places, in the whole sequence, of prefix tokens and first patches of an order.

    Args:
        order: int32 `(batch, patches)`, numbers of the patches.
        count: how many of them.
        num_prefix_tokens: tokens in front of the patches.

    Returns:
        An int32 tensor `(batch, prefix + count)`.
    """
    prefix = ops.arange(num_prefix_tokens, dtype="int32")[None]
    prefix = ops.broadcast_to(prefix, (ops.shape(order)[0], num_prefix_tokens))
    return ops.concatenate([prefix, order[:, :count] + num_prefix_tokens], axis=1)


def bias_among(bias: Any, places: Any) -> Any:
    """Returns the bias among some of the tokens.

    Args:
        bias: `(1, heads, tokens, tokens)`, of all of them.
        places: int32 `(batch, some)`, which they are.

    Returns:
        A tensor `(batch, heads, some, some)`.
    """
    heads, tokens = bias.shape[1], ops.shape(bias)[-1]
    flat = places[:, :, None] * tokens + places[:, None, :]
    among = ops.take(ops.reshape(bias, (heads, -1)), flat, axis=1)
    return ops.transpose(among, (1, 0, 2, 3))


def resize_bias_table(
    table: Any, old_grid: tuple[int, int], new_grid: Any, beyond: int, kind: str
) -> Any:
    """Resizes a table of relative position bias to another grid; its last rows are kept.

    Args:
        table: `(distances + beyond, heads)`, distances row by row.
        old_grid: (rows, columns) of patches that it is for.
        new_grid: those wanted; integers or, but for `"geometric"`, scalar tensors.
        beyond: rows behind the distances.
        kind: `"linear"` with half-pixel centres, or `"geometric"`: the old distances are laid out
            as sums of powers of a ratio, so that the longest falls on the longest of the new ones,
            with linear interpolation between them.

    Returns:
        A float32 tensor `(new distances + beyond, heads)`.
    """
    table = ops.cast(table, "float32")
    if tuple(new_grid) == tuple(old_grid):
        return table
    old, new = ([2 * side - 1 for side in grid] for grid in (old_grid, new_grid))
    if kind == "geometric":
        rows, columns = (_geometric_matrix(*sides) for sides in zip(new, old, strict=True))
    else:
        rows, columns = (interpolation_matrix(n, o, kind) for n, o in zip(new, old, strict=True))
    count, heads = old[0] * old[1], table.shape[-1]
    distances = ops.reshape(table[:count], (*old, heads))
    distances = ops.einsum("ab,bch->ach", rows, distances)
    distances = ops.reshape(ops.einsum("dc,ach->adh", columns, distances), (-1, heads))
    return ops.concatenate([distances, table[count:]], axis=0) if beyond else distances


def _geometric_matrix(new: int, old: int) -> np.ndarray:
    """Returns the matrix that resamples `old` distances on a line to `new` ones, rows sum to 1."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:  # the ratio at which the powers sum up to the longest distance
        ratio = (low + high) / 2
        if (1 - ratio ** (old // 2)) / (1 - ratio) > new // 2:
            high = ratio
        else:
            low = ratio
    steps = list(itertools.accumulate(ratio**power for power in range(old // 2)))
    places = [*(-step for step in reversed(steps)), 0.0, *steps]
    wanted = np.arange(new) - new // 2
    return np.stack([np.interp(wanted, places, one) for one in np.eye(old)], 1).astype("float32")
