"""Figures that show a model: its heads, its distances, its positions, its filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.interpret.canvas import (
    BLUE,
    COLUMN_WIDTH,
    FONT_SIZE,
    GRID_COLORS,
    TEXT,
    VALUE_COLORS,
    bare,
    color_bar,
    mosaic,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_TILES_A_SIDE = 14
FILTERS_A_ROW = 7


def attention_heads(
    maps: Sequence[Any],
    num_prefix_tokens: int,
    grid: tuple[int, int],
    *,
    blocks: Sequence[int] | None = None,
    query: int | str | None = None,
    title: str | None = None,
) -> Figure:
    """Draws what every head of every block looks at: blocks downwards, heads across.

    Args:
        maps: attention of one image, one array (heads, tokens, tokens) a block.
        num_prefix_tokens: tokens in front of the patches.
        grid: patches as (rows, columns).
        blocks: the blocks' numbers for the labels; None counts from 0.
        query: the number of the token that looks, or `"patches"` for the mean over all patches.
            None is token 0, the class token, or the patches if there is no prefix token.
        title: above the picture; None names the query.

    Returns:
        The figure; each cell is coloured over its own range.
    """
    if query is None:
        query = 0 if num_prefix_tokens else "patches"
    who = {"patches": "the patches", 0: "the class token"}.get(query, f"token {query}")
    asked = slice(num_prefix_tokens, None) if query == "patches" else [query]
    looks = np.stack(
        [np.asarray(one, np.float32)[:, asked, num_prefix_tokens:].mean(axis=1) for one in maps]
    )
    tiles = looks.reshape(*looks.shape[:2], *grid)  # (blocks, heads, rows, columns)
    tiles -= tiles.min(axis=(2, 3), keepdims=True)
    tiles /= np.maximum(tiles.max(axis=(2, 3), keepdims=True), 1e-12)
    layers, heads = tiles.shape[:2]
    canvas, row_centers, column_centers = mosaic(tiles)
    width = min(COLUMN_WIDTH - 1.3, 0.75 * heads)
    figure = new_figure(width + 1.3, width * canvas.shape[0] / canvas.shape[1] + 0.8)
    axes = figure.subplots()
    axes.set_title(title or f"Attention of {who}", fontsize=FONT_SIZE + 2, **TEXT)
    axes.imshow(canvas, cmap=GRID_COLORS, interpolation="nearest", vmin=0, vmax=1)
    bare(axes)
    step = 1 if heads <= 16 else 2
    axes.set_xticks(column_centers[::step], np.arange(heads)[::step])
    axes.set_yticks(row_centers, range(layers) if blocks is None else blocks)
    axes.tick_params(length=0, labelsize=FONT_SIZE - 1)
    axes.set_xlabel("Head", fontsize=FONT_SIZE)
    axes.set_ylabel("Block", fontsize=FONT_SIZE)
    color_bar(
        figure, axes, (0, 1), "Attention within each cell", colors=GRID_COLORS,
        ends=("least", "most"),
    )  # fmt: skip
    return figure


def attention_distance(
    distances: Any, *, image_size: tuple[int, int] | None = None, title: str | None = None
) -> Figure:
    """Draws the mean attention distance of every head by depth.

    Args:
        distances: (layers, heads) in pixels.
        image_size: (height, width) in pixels, named in the title.
        title: above the picture.

    Returns:
        The figure.

    Reference: arXiv 2010.11929, Figure 11.
    """
    figure = new_figure(COLUMN_WIDTH * 0.8, 3.4)
    axes = figure.subplots()
    size = "" if image_size is None else f", images of {image_size[0]} × {image_size[1]} pixels"
    axes.set_title(title or f"Attention distance by depth{size}", fontsize=FONT_SIZE + 1, **TEXT)
    draw_distances(axes, distances)
    return figure


def draw_distances(axes: Axes, distances: Any, font_size: float = FONT_SIZE) -> None:
    """Draws the mean attention distance of every head by depth into axes."""
    distances = np.asarray(distances)
    layers, heads = distances.shape
    numbers = np.arange(layers)
    axes.plot(numbers, distances.mean(axis=1), color="0.55", linewidth=1.5, label="Mean of heads")
    axes.scatter(
        np.repeat(numbers, heads), distances.ravel(), s=(font_size - 4) ** 2, color=BLUE, alpha=0.7,
        linewidths=0, zorder=3, label="One head",
    )  # fmt: skip
    axes.set_xlabel("Network depth (block)", fontsize=font_size)
    axes.set_ylabel("Mean attention distance (pixels)", fontsize=font_size)
    axes.set_ylim(0, max(float(distances.max()) * 1.08, 1e-6))
    axes.set_xlim(-0.5, layers - 0.5)
    axes.set_xticks(numbers[:: math.ceil(layers / 16 * FONT_SIZE / font_size)])
    axes.tick_params(labelsize=font_size - 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(
        fontsize=font_size - 1, frameon=False, loc="lower right", ncols=2,
        bbox_to_anchor=(1, 0), borderaxespad=0.2, handletextpad=0.4, columnspacing=1,
        handlelength=1.3,
    )  # fmt: skip


def position_similarity(similarity: Any, *, title: str | None = None) -> Figure:
    """Draws how alike the position embeddings are: one tile a patch, against all patches.

    Args:
        similarity: (grid rows, grid columns, grid rows, grid columns), cosine in [-1, 1]. Of a
            grid with more than 14 rows or columns, evenly chosen tiles are drawn.
        title: above the picture.

    Returns:
        The figure.

    Reference: arXiv 2010.11929, Figure 7 (centre).
    """
    rows, columns = chosen_tiles(similarity)
    tiles = np.shape(similarity)[2:]
    width = min(COLUMN_WIDTH - 1.3, 0.8 * len(columns))
    tall = len(rows) * tiles[0] / (len(columns) * tiles[1])
    figure = new_figure(width + 1.3, width * tall + 0.7)
    axes = figure.subplots()
    axes.set_title(title or "Position embedding similarity", fontsize=FONT_SIZE + 2, **TEXT)
    limits = draw_similarity(axes, similarity, (rows, columns))
    color_bar(figure, axes, limits, "Cosine similarity", colors=VALUE_COLORS)
    return figure


def chosen_tiles(similarity: Any, most: int = MAX_TILES_A_SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Chooses evenly which rows and which columns of patches have a tile."""
    return tuple(
        np.unique(np.linspace(0, side - 1, min(side, most)).round().astype(int))
        for side in np.shape(similarity)[:2]
    )


def draw_similarity(
    axes: Axes,
    similarity: Any,
    chosen: tuple[np.ndarray, np.ndarray],
    font_size: float = FONT_SIZE,
    low: float | None = None,
) -> tuple[float, float]:
    """Draws the chosen tiles of `position_similarity`, and returns the limits of the colours.

    `low` is the value of the first colour where it is below 0; None is the least of all.
    """
    similarity = np.asarray(similarity)
    canvas, *centers = mosaic(similarity[np.ix_(*chosen)])
    limits = (min(float(similarity.min()) if low is None else low, 0), 1)
    axes.imshow(canvas, cmap=VALUE_COLORS, interpolation="nearest", vmin=limits[0], vmax=limits[1])
    bare(axes)
    axes.set_xticks(centers[1], chosen[1])
    axes.set_yticks(centers[0], chosen[0])
    axes.tick_params(length=0, labelsize=font_size - 1, pad=1)
    axes.set_xlabel("Patch column", fontsize=font_size)
    axes.set_ylabel("Patch row", fontsize=font_size)
    return limits


def embedding_filters(filters: Any, *, title: str | None = None) -> Figure:
    """Draws the principal components of the patch embedding as small images.

    Args:
        filters: (n, patch rows, patch columns, channels) in [0, 1]; 1 or 3 channels are drawn as
            they are, of others the first.
        title: above the picture.

    Returns:
        The figure.

    Reference: arXiv 2010.11929, Figure 7 (left).
    """
    count, height, width, _ = np.shape(filters)
    columns = min(FILTERS_A_ROW, count)
    title = title or f"Patch embedding: first {count} components"
    figure = new_figure(
        max(0.75 * columns + 0.3, 0.075 * len(title) + 0.3),
        0.75 * math.ceil(count / columns) * height / width + 0.5,
        title,
    )
    draw_filters(figure.subplots(), filters)
    return figure


def draw_filters(axes: Axes, filters: Any) -> None:
    """Draws the principal components of the patch embedding into axes, seven a row."""
    filters = np.clip(np.asarray(filters, dtype=np.float32), 0, 1)
    if filters.shape[-1] != 3:
        filters = np.repeat(filters[..., :1], 3, axis=-1)
    count, height, width, _ = filters.shape
    columns = min(FILTERS_A_ROW, count)
    tiles = np.full((math.ceil(count / columns) * columns, height, width, 3), np.nan, np.float32)
    tiles[:count] = filters
    tiles = tiles.reshape(-1, columns, height, width, 3)
    axes.imshow(np.nan_to_num(mosaic(tiles)[0], nan=1), interpolation="nearest")
    bare(axes)
