"""Figures that lay a map over photos.

Maps are enlarged smoothly to the photo's own resolution; the photo stays visible beneath. Colours
run from the 1st to the 99th percentile of a map, so that one patch that outshines all others does
not turn them into one flat colour.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.interpret.blending import PERCENTILES, lay_colors, lay_over, robust_limits
from keras_vit.interpret.canvas import (
    BLUE,
    COLUMN_WIDTH,
    FONT_SIZE,
    HEAT_COLORS,
    TEXT,
    VERMILION,
    check_image,
    check_images,
    color_bar,
    new_figure,
    show_image,
)
from keras_vit.interpret.cells import LINE, place_cells, write_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def heat_map(
    image: Any,
    heat: Any,
    *,
    title: str | None = None,
    label: str = "Attention rollout",
    style: str = "colors",
    marks: Any = None,
) -> Figure:
    """Draws an image and, beside it, a map over it.

    Args:
        image: (height, width, 1 or 3) in [0, 1] (see `displayable`) or uint8, of any resolution.
        heat: (grid rows, grid columns), any range; enlarged smoothly to the image.
        title: above the picture.
        label: what the colours mean, with its unit; the percentiles where they end are added.
        style: `"colors"`, or `"light"`: the map is the brightness of the image, as in the paper.
        marks: patches that are marked with a cross, (grid rows, grid columns) bool, such as
            `artifact_patches` finds; None for none.

    Returns:
        The figure.

    Raises:
        ValueError: an image of another shape or range, or an unknown style.

    Reference: arXiv 2010.11929, Figure 6.
    """
    image, heat = check_image("image", image), np.asarray(heat, np.float32)
    height = 2.62 * image.shape[0] / image.shape[1] + (0.65 if title else 0.35)
    figure = new_figure(COLUMN_WIDTH, min(height, 9), title)
    left, right = figure.subplots(1, 2)
    show_image(left, image)
    left.set_title("Image", fontsize=FONT_SIZE)
    limits = robust_limits(heat)
    show_image(right, lay_over(image, heat, style, limits))
    if marks is not None:
        _cross(right, np.asarray(marks, bool))
    right.set_title(f"{heat.shape[0]} × {heat.shape[1]} patches", fontsize=FONT_SIZE)
    beyond = (heat.min() < limits[0], heat.max() > limits[1])
    color_bar(
        figure, right, limits, f"{label}\n{PERCENTILES[0]}st to {PERCENTILES[1]}th percentile",
        colors=HEAT_COLORS if style == "colors" else "gray",
        extend=("neither", "max", "min", "both")[beyond[1] + 2 * beyond[0]],
    )  # fmt: skip
    return figure


def heat_map_rows(
    images: Sequence[Any],
    maps: Mapping[str, Any],
    *,
    title: str | None = None,
    row_labels: Sequence[str] | None = None,
    style: str = "colors",
    frames: Mapping[str, Any] | None = None,
    marks: Mapping[str, Any] | None = None,
) -> Figure:
    """Draws several images as rows: the image, then one map a column.

    Args:
        images: (height, width, 1 or 3) in [0, 1] or uint8, each of any resolution.
        maps: title of a column -> (batch, grid rows, grid columns) heat, each coloured over its
            own range, or (batch, grid rows, grid columns, 3 or 4) colours in [0, 1], see
            `lay_colors`.
        title: above the picture.
        row_labels: one a row, above it.
        style: of the heat, as for `heat_map`.
        frames: title of a column -> one patch (row, column) for each image, drawn as a frame.
        marks: title of a column -> patches marked with a cross, (batch, grid rows, grid columns)
            bool.

    Returns:
        The figure.

    Raises:
        ValueError: images of another shape or range, or an unknown style.
    """
    images = check_images("images", images)
    columns = 1 + len(maps)
    side = min(2.1, max(0.75, 1.25 * COLUMN_WIDTH / columns))
    limit = int(columns * side * 15)
    captions = [
        textwrap.wrap(str(label), limit, break_on_hyphens=False) for label in row_labels or ()
    ] or [[]] * len(images)
    cells = place_cells(
        [side * image.shape[0] / image.shape[1] for image in images],
        [side] * columns,
        [LINE * len(lines) + (0.1 if lines else 0.04) for lines in captions],
        title,
        head=LINE * (1 + max(name.count("\n") for name in maps)) + 0.05,
    )
    for row, image in enumerate(images):
        show_image(cells[row][0], image)
        if captions[row]:
            write_above(cells[row][0], "\n".join(captions[row]))
        for axes, (name, values) in zip(cells[row][1:], maps.items(), strict=True):
            one = np.asarray(values[row])
            show_image(
                axes, lay_over(image, one, style) if one.ndim == 2 else lay_colors(image, one)
            )
            if frames and name in frames:
                _frame(axes, frames[name][row], one.shape[:2])
            if marks and name in marks:
                _cross(axes, np.asarray(marks[name][row], bool))
    for axes, name in zip(cells[0], ["Image", *maps], strict=True):
        lift = (LINE * len(captions[0]) + (0.06 if captions[0] else 0)) * 72 + 4
        axes.annotate(
            name, (0.5, 1), (0, lift), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="bottom", fontsize=FONT_SIZE, annotation_clip=False, **TEXT,
        )  # fmt: skip
    return cells[0][0].figure


def heads_over_images(
    images: Sequence[Any],
    maps: Any,
    *,
    title: str | None = None,
    row_labels: Sequence[str] | None = None,
    style: str = "colors",
) -> Figure:
    """Draws what each head of a block looks at, over the images: a row an image.

    Args:
        images: (height, width, 1 or 3) in [0, 1] or uint8, each of any resolution.
        maps: (batch, heads, grid rows, grid columns), as `head_attention` returns.
        title: above the picture.
        row_labels: one a row, above it.
        style: as for `heat_map`.

    Returns:
        The figure; each cell is coloured over its own range.

    Raises:
        ValueError: images of another shape or range, or an unknown style.
    """
    maps = np.asarray(maps)
    columns = {f"Head {head}": maps[:, head] for head in range(maps.shape[1])}
    return heat_map_rows(images, columns, title=title, row_labels=row_labels, style=style)


def _extent(axes: Axes, grid: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, and the height and width of a patch in what the axes show."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return left, top, (bottom - top) / grid[0], (right - left) / grid[1]


def _frame(axes: Axes, patch: Sequence[int], grid: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    left, top, height, width = _extent(axes, grid)
    corner = (left + patch[1] * width, top + patch[0] * height)
    for color, line in (("black", 2.5), ("white", 1.2)):
        axes.add_patch(
            Rectangle(corner, width, height, fill=False, edgecolor=color, linewidth=line)
        )


def _cross(axes: Axes, marks: np.ndarray) -> None:
    left, top, height, width = _extent(axes, marks.shape)
    rows, columns = np.nonzero(marks)
    for color, line in (("black", 2.2), ("white", 1.0)):
        axes.scatter(
            left + (columns + 0.5) * width, top + (rows + 0.5) * height, s=14, marker="x",
            color=color, linewidths=line,
        )  # fmt: skip


def _short(name: str, limit: int) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _caption(predicted: str, true: str | None, score: float | None, limit: int) -> tuple[str, str]:
    """The words above a prediction, in lines of about `limit` characters, and their colour."""
    percent = "" if score is None else f" ({100 * score:.0f} %)"
    told = _short(predicted, limit - len(percent) - 2) + percent
    if true is None:
        return told, "black"
    if predicted == true:
        return f"✓ {told}", BLUE
    truth = f"true: {_short(true, limit - 6)}"
    between = ", " if len(told) + len(truth) + 4 <= limit else "\n"
    return f"✗ {told}{between}{truth}", VERMILION


def predictions(
    images: Sequence[Any],
    predicted: Sequence[str],
    heats: Any,
    *,
    true: Sequence[str] | None = None,
    scores: Sequence[float] | None = None,
    title: str | None = None,
    columns: int | None = None,
    style: str = "light",
) -> Figure:
    """Draws test images, each beside its map, with what the model said.

    Args:
        images: (height, width, 1 or 3) in [0, 1] or uint8, each of any resolution.
        predicted: the predicted label of each image.
        heats: (batch, grid rows, grid columns), each shown over its own range.
        true: the true labels. A right prediction is marked with a tick and blue, a wrong one with
            a cross, vermilion and the true label. None leaves the judgement out.
        scores: probability of the predicted label, in [0, 1].
        title: above the picture.
        columns: pairs of image and map in a row; None is 2 for up to 8 images, else 4.
        style: as for `heat_map`.

    Returns:
        The figure.

    Raises:
        ValueError: images of another shape or range, or sequences of another length.

    Reference: arXiv 2010.11929, Figure 6.
    """
    images = check_images("images", images)
    count = len(images)
    told = {"predicted": predicted, "heats": heats, "true": true, "scores": scores}
    for name, values in told.items():
        if values is not None and len(values) != count:
            raise ValueError(
                f"Expected `{name}` to have {count} entries, one an image. Received: {len(values)}."
            )
    columns = max(1, min(columns or (2 if count <= 8 else 4), count))
    captions = [
        _caption(
            str(predicted[index]),
            None if true is None else str(true[index]),
            None if scores is None else float(scores[index]),
            limit=max(16, 104 // max(columns, 2)),
        )
        for index in range(count)
    ]
    side = min(1.7, (1.2 * COLUMN_WIDTH - 0.2) / (2 * columns) - 0.135)
    lines = max(text.count("\n") + 1 for text, _ in captions)
    above = [LINE * lines + 0.12] * math.ceil(count / columns)
    drawn = draw_pairs(images, heats, columns, side, above, title, style)
    for axes, (text, color) in zip(drawn[::2], captions, strict=True):
        write_above(axes, text, color=color)
    return drawn[0].figure


def draw_pairs(
    images: Sequence[np.ndarray],
    heats: Any,
    columns: int,
    side: float,
    above: Sequence[float],
    title: str | None = None,
    style: str = "light",
) -> list[Axes]:
    """Draws images, each beside its map, in rows of `columns` pairs with room `above` them.

    Returns:
        The axes of the first image, of its map, of the second image and so on.
    """
    tall = min(1.5, max(image.shape[0] / image.shape[1] for image in images))
    cells = place_cells([side * tall] * len(above), [side] * 2 * columns, above, title, pairs=True)
    axes = [one for row in cells for one in row]
    for one in axes[2 * len(images) :]:
        one.remove()
    for index, image in enumerate(images):
        show_image(axes[2 * index], image)
        show_image(axes[2 * index + 1], lay_over(image, heats[index], style))
    return axes[: 2 * len(images)]
