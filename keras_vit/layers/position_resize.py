"""Position embeddings are resized to another grid, as each checkpoint's own source does it.

Every kind is separable: one small matrix for the rows, one for the columns. The matrices are built
with `keras.ops`, so the new grid may be known only as the model runs.
"""

from typing import Any

from keras import ops


def _cubic(distance, a: float):
    """The cubic convolution kernel of Keys (1981) at a distance of 0 to 2 and beyond."""
    x = ops.abs(distance)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return ops.where(x <= 1.0, near, ops.where(x < 2.0, far, ops.zeros_like(x)))


def _triangle(distance):
    """The kernel of linear interpolation."""
    return ops.maximum(1.0 - ops.abs(distance), 0.0)


def _antialiased(position, old, scale, kernel):
    """Rows of kernel values, widened when shrinking; taps outside the grid are dropped."""
    width = ops.maximum(scale, 1.0)
    distance = (position[:, None] - ops.arange(old, dtype="float32")[None, :]) / width
    weights = kernel(distance)
    return weights / ops.sum(weights, axis=1, keepdims=True)


def _clamped(position, old, kernel, first_tap: int, num_taps: int):
    """Rows of kernel values without antialias; taps outside the grid read its border."""
    base = ops.floor(position)
    matrix = 0.0
    for offset in range(first_tap, first_tap + num_taps):
        tap = base + offset
        index = ops.cast(ops.clip(tap, 0, old - 1), "int32")
        matrix = matrix + kernel(position - tap)[:, None] * ops.one_hot(index, old)
    return matrix


def interpolation_matrix(new: Any, old: int, kind: str):
    """Returns the matrix that resamples `old` values on a line to `new` ones.

    Args:
        new: number of values wanted; an integer, or a scalar tensor.
        old: number of values there are.
        kind: `"linear_align_corners"` (first and last values stay, as `scipy.ndimage.zoom` with
            order 1), or with half-pixel centres `"linear"`, `"bicubic"` (a = -0.75, border
            repeated, no antialias, as torch), `"linear_antialias"` and `"bicubic_antialias"`
            (a = -0.5, border renormalised, as `jax.image.resize`).

    Returns:
        A float32 tensor `(new, old)` whose rows sum to 1.
    """
    steps = ops.arange(new, dtype="float32")
    count = ops.cast(new, "float32")
    if kind == "linear_align_corners":
        position = steps * (float(old - 1) / ops.maximum(count - 1.0, 1.0))
        return _clamped(position, old, _triangle, 0, 2)
    scale = float(old) / count
    position = (steps + 0.5) * scale - 0.5
    if kind == "bicubic_antialias":
        return _antialiased(position, old, scale, lambda distance: _cubic(distance, -0.5))
    if kind == "linear_antialias":
        return _antialiased(position, old, scale, _triangle)
    if kind == "bicubic":
        return _clamped(position, old, lambda distance: _cubic(distance, -0.75), -1, 4)
    if kind == "linear":
        return _clamped(position, old, _triangle, 0, 2)
    raise ValueError(f"Expected a kind of interpolation. Received: kind={kind!r}.")


def resize_positions(
    table: Any, old_grid: tuple[int, int], new_grid: Any, prefix_rows: int, kind: str
):
    """Resizes a position embedding to another grid; rows of prefix tokens are kept.

    Args:
        table: `(1, prefix_rows + rows * columns, hidden_size)`.
        old_grid: (rows, columns) of the table.
        new_grid: (rows, columns) wanted; integers or scalar tensors.
        prefix_rows: leading rows that belong to prefix tokens.
        kind: as in `interpolation_matrix`.

    Returns:
        A float32 tensor `(1, prefix_rows + new rows * new columns, hidden_size)`.
    """
    table = ops.cast(table, "float32")
    known = all(isinstance(side, int) for side in new_grid)
    if known and tuple(new_grid) == tuple(old_grid):
        return table
    hidden_size = table.shape[-1]
    grid = ops.reshape(table[:, prefix_rows:], (*old_grid, hidden_size))
    rows = interpolation_matrix(new_grid[0], old_grid[0], kind)
    columns = interpolation_matrix(new_grid[1], old_grid[1], kind)
    grid = ops.einsum("ab,bcd->acd", rows, grid)
    grid = ops.einsum("ec,acd->aed", columns, grid)
    grid = ops.reshape(grid, (1, -1, hidden_size))
    return ops.concatenate([table[:, :prefix_rows], grid], axis=1)
