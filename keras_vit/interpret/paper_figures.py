"""Models and images -> the figures of the paper that look inside, as it prints them.

Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), Figures 6, 7, 10 and 11.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import os
import pathlib
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.files import replacing
from keras_vit.interpret import attention_measures, embedding, plot
from keras_vit.interpret.canvas import (
    TEXT,
    VALUE_COLORS,
    check_images,
    color_bar,
    embedded_fonts,
    new_figure,
)
from keras_vit.interpret.charts import (
    MAX_TILES_A_SIDE,
    chosen_tiles,
    draw_distances,
    draw_filters,
    draw_similarity,
)
from keras_vit.interpret.leading_maps import saliencies, saliency
from keras_vit.interpret.overlays import draw_pairs
from keras_vit.interpret.samples import Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 5.5  # inches: a column of the paper
FONT_SIZE = 7
TITLE = {"fontsize": FONT_SIZE, **TEXT}
SCALE = {"label": "Cosine similarity", "colors": VALUE_COLORS, "font_size": FONT_SIZE}
DPI = 300
PAIRS_A_ROW = 3
TILES = 7  # a side, of Figure 7


@dataclasses.dataclass(frozen=True)
class Inside:
    """What a model has learned, and where it looks.

    Attributes:
        distances: (layers, heads) in pixels.
        similarity: of position embeddings, (rows, columns, rows, columns).
        filters: (n, patch rows, patch columns, channels), or None for a hybrid.
        width: of the images in pixels.
    """

    distances: np.ndarray
    similarity: np.ndarray
    filters: np.ndarray | None
    width: int


def look_inside(model: Any, images: Any, *, batch_size: int = 8) -> Inside:
    """Takes the measures of Figures 7, 10 and 11.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images that the distances are averaged over; the paper has 128.
        batch_size: images at a time; bounds the memory.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    hybrid = model.config.hybrid is not None
    return Inside(
        attention_measures.attention_distance(model, images, batch_size=batch_size),
        embedding.position_similarity(model),
        None if hybrid else embedding.embedding_filters(model),
        np.shape(images)[2],
    )


def write_figures(
    models: Mapping[str, Any],
    take: Callable[[Any, int], Samples],
    output_dir: str | os.PathLike,
    *,
    shown: int = 6,
    count: int = 128,
    method: str = "rollout",
    batch_size: int = 8,
) -> dict[str, pathlib.Path]:
    """Draws Figures 6, 7, 10 and 11 of the paper, and writes their numbers beside them.

    Figures 6 and 7 are of the first model; Figures 10 and 11 have a panel for each.

    Args:
        models: name -> `keras_vit.VisionTransformer`.
        take: (model, count) -> that many images, prepared for the model.
        output_dir: the folder; made if there is none. Files of the same names are replaced.
        shown: images of Figure 6.
        count: images that distances are averaged over.
        method: the map of Figure 6, as for `keras_vit.interpret.saliency`; the paper's is
            `"rollout"`.
        batch_size: images at a time; bounds the memory.

    Returns:
        Name -> path: `figures.pdf`, and for each figure a PNG and CSV files.

    Raises:
        ValueError: another kind of model, images that it does not take, or an unknown method.
    """
    model = next(iter(models.values()))
    samples = take(model, shown)
    maps = saliency(model, samples.images, method, batch_size=batch_size)
    photos = samples.photos or tuple(plot.displayable(samples.images, model.preprocessing))
    inside = {
        name: look_inside(one, take(one, count).images, batch_size=batch_size)
        for name, one in models.items()
    }
    first = next(iter(inside.values()))
    drawn = {
        "figure_6": figure_6(photos, maps, saliencies(model)[method].title),
        "figure_7": figure_7(first),
        "figure_10": figure_10(inside),
        "figure_11": figure_11(inside),
    }
    folder = pathlib.Path(output_dir)
    written = {name: plot.save(one, folder / f"{name}.png", dpi=DPI) for name, one in drawn.items()}
    first_alone = {next(iter(inside)): first}
    tables = {
        "figure_6": (("image", "row", "column", method), _values(maps, samples.names)),
        "figure_7_positions": _positions(first_alone, TILES),
        "figure_7_distances": _distances(first_alone),
        "figure_10": _positions(inside),
        "figure_11": _distances(inside),
    }
    if first.filters is not None:
        header = ("component", "row", "column", "channel", "value")
        tables["figure_7_filters"] = (header, _values(first.filters))
    for name, (header, rows) in tables.items():
        written[f"{name}_csv"] = _write_csv(folder / f"{name}.csv", header, rows)
    written["figures"] = _write_pdf(folder / "figures.pdf", drawn.values())
    return written


def figure_6(photos: Sequence[Any], maps: Any, title: str = "Attention") -> Figure:
    """Draws images, and beside each its map as light.

    Args:
        photos: (height, width, 1 or 3) in [0, 1] or uint8, each of any resolution.
        maps: (batch, grid rows, grid columns).
        title: above the maps.
    """
    photos = check_images("photos", photos)
    pairs = min(PAIRS_A_ROW, len(photos))
    side = (WIDTH - 0.2 - 0.05 * pairs - 0.22 * (pairs - 1)) / (2 * PAIRS_A_ROW)
    lines = textwrap.wrap(title, 18)
    above = [0.06 + 0.12 * len(lines)] + [0.06] * (math.ceil(len(photos) / pairs) - 1)
    drawn = draw_pairs(photos, maps, pairs, side, above)
    for index, axes in enumerate(drawn[: 2 * pairs]):
        axes.set_title("\n".join(lines) if index % 2 else "Input", pad=3, **TITLE)
    return drawn[0].figure


def figure_7(inside: Inside) -> Figure:
    """Draws filters of the patch embedding, similarity of positions, and attention distances."""
    ratios = (0.85, 1, 1.25) if inside.filters is not None else (1, 1.25)
    figure = new_figure(WIDTH, 2.1)
    *left, middle, right = figure.subplots(1, len(ratios), width_ratios=ratios)
    for axes in left:
        draw_filters(axes, inside.filters)
        axes.set_title(f"First {len(inside.filters)} components\nof the embedding filters", **TITLE)
    tiles = chosen_tiles(inside.similarity, TILES)
    limits = draw_similarity(middle, inside.similarity, tiles, FONT_SIZE)
    middle.set_title("Similarity of positions", **TITLE)
    color_bar(figure, middle, limits, **SCALE)
    draw_distances(right, inside.distances, FONT_SIZE)
    right.set_title("Attention distance", **TITLE)
    return figure


def figure_10(inside: Mapping[str, Inside]) -> Figure:
    """Draws the similarity of the position embeddings of several models."""
    columns = min(3, len(inside))
    height = min(WIDTH / columns * 0.95, 3.2) * math.ceil(len(inside) / columns) + 0.2
    figure, panels = _panels(len(inside), columns, height)
    low = min(float(one.similarity.min()) for one in inside.values())
    for axes, (name, one) in zip(panels, inside.items(), strict=True):
        tiles, size = chosen_tiles(one.similarity), FONT_SIZE - 0.5 * columns
        limits = draw_similarity(axes, one.similarity, tiles, size, low)
        axes.set_title(name, **TITLE)
    color_bar(figure, panels, limits, **SCALE)
    return figure


def figure_11(inside: Mapping[str, Inside]) -> Figure:
    """Draws attention distances by depth of several models."""
    columns = min(2, len(inside))
    figure, panels = _panels(len(inside), columns, 2.2 * math.ceil(len(inside) / columns))
    for axes, (name, one) in zip(panels, inside.items(), strict=True):
        draw_distances(axes, one.distances, FONT_SIZE)
        axes.set_title(f"{name}, images {one.width} pixels wide", **TITLE)
    return figure


def _panels(count: int, columns: int, height: float) -> tuple[Figure, list[Any]]:
    figure = new_figure(WIDTH, height)
    grid = figure.subplots(math.ceil(count / columns), columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    return figure, list(grid[:count])


def _values(values: np.ndarray, names: Sequence[str] | None = None) -> Iterable[tuple]:
    """Rows of an array: its indices, the first by name, and the value."""
    for place in np.ndindex(*values.shape):
        yield (names[place[0]] if names else place[0], *place[1:], f"{values[place]:.6g}")


def _positions(inside: Mapping[str, Inside], most: int = MAX_TILES_A_SIDE) -> tuple:
    """Header and rows of the tiles that are drawn."""
    header = ("model", "row", "column", "other_row", "other_column", "cosine_similarity")
    rows = (
        (name, row, column, *other)
        for name, one in inside.items()
        for row, column in itertools.product(*chosen_tiles(one.similarity, most))
        for other in _values(one.similarity[row, column])
    )
    return header, rows


def _distances(inside: Mapping[str, Inside]) -> tuple:
    header = ("model", "block", "head", "mean_attention_distance_pixels")
    return header, ((name, *row) for name, one in inside.items() for row in _values(one.distances))


def _write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[tuple]) -> pathlib.Path:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _write_pdf(path: pathlib.Path, figures: Iterable[Figure]) -> pathlib.Path:
    from matplotlib.backends.backend_pdf import PdfPages

    with replacing(path) as temporary, embedded_fonts(), PdfPages(temporary) as pages:
        for figure in figures:
            pages.savefig(figure, dpi=DPI)
    return path
