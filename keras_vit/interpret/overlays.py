"""Figures that lay a map over images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.interpret.canvas import (
    BLUE,
    COLUMN_WIDTH,
    FONT_SIZE,
    HEAT_COLORS,
    VERMILION,
    check_image,
    color_bar,
    new_figure,
    show_image,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAT_ALPHA = 0.7


def show_heat(axes: Axes, image: np.ndarray, heat: Any, limits: tuple[float, float] | None = None):
    """Draws heat (grid rows, grid columns), smoothly enlarged, over the grey image.

    The enlarged map runs through the values at the centres of the patches (Catmull-Rom).

    Args:
        axes: where to draw.
        image: (height, width, 1 or 3) in [0, 1].
        heat: any range.
        limits: values of the first and the last colour; None takes the range of `heat`.

    Returns:
        The drawn heat, for a colour bar.
    """
    heat = np.asarray(heat, dtype=np.float32)
    low, high = limits or (float(heat.min()), float(heat.max()))
    show_image(axes, image, pale=True)
    return axes.imshow(
        heat,
        extent=(0, image.shape[1], image.shape[0], 0),
        cmap=HEAT_COLORS,
        alpha=HEAT_ALPHA,
        interpolation="catrom",
        vmin=low,
        vmax=max(high, low + 1e-12),
    )


def heat_map(
    image: Any, heat: Any, *, title: str | None = None, label: str = "Attention rollout"
) -> Figure:
    """Draws an image and, beside it, a heat map over it.

    Args:
        image: (height, width, 1 or 3) in [0, 1], see `displayable`.
        heat: (grid rows, grid columns), any range; enlarged smoothly to the image.
        title: above the picture.
        label: what the colours mean, with its unit.

    Returns:
        The figure.

    Raises:
        ValueError: an image of another shape or range.

    Reference: arXiv 2010.11929, Figure 6.
    """
    image, heat = check_image("image", image, 3), np.asarray(heat)
    height = 2.8 * image.shape[0] / image.shape[1] + (0.7 if title else 0.4)
    figure = new_figure(COLUMN_WIDTH, min(height, 9), title)
    left, right = figure.subplots(1, 2)
    show_image(left, image)
    left.set_title("Image", fontsize=FONT_SIZE)
    drawn = show_heat(right, image, heat)
    right.set_title(f"{heat.shape[0]} × {heat.shape[1]} patches", fontsize=FONT_SIZE)
    color_bar(figure, drawn, right, label)
    return figure


def heat_map_rows(
    images: Any,
    maps: Mapping[str, Any],
    *,
    title: str | None = None,
    row_labels: Sequence[str] | None = None,
    marks: Mapping[str, Any] | None = None,
) -> Figure:
    """Draws several images as rows: the image, then one map a column.

    Args:
        images: (batch, height, width, 1 or 3) in [0, 1].
        maps: title of a column -> (batch, grid rows, grid columns) heat, each coloured over its
            own range, or (batch, grid rows, grid columns, 3) RGB in [0, 1].
        title: above the picture.
        row_labels: one a row, to its left.
        marks: title of a column -> one patch (row, column) for each image, drawn as a frame.

    Returns:
        The figure.

    Raises:
        ValueError: images of another shape or range.
    """
    images = check_image("images", images, 4)
    columns = 1 + len(maps)
    side = min(2.1, COLUMN_WIDTH / columns)
    row_height = side * images.shape[1] / images.shape[2]
    figure = new_figure(
        side * columns + 0.2, row_height * len(images) + (0.7 if title else 0.35), title
    )
    cells = figure.subplots(len(images), columns, squeeze=False)
    for row, image in enumerate(images):
        show_image(cells[row, 0], image)
        if row_labels:
            label = _short(row_labels[row], max(6, int(row_height * 12)))
            cells[row, 0].set_ylabel(label, fontsize=FONT_SIZE)
        for axes, values in zip(cells[row, 1:], maps.values(), strict=True):
            if np.ndim(values) == 4:
                show_image(axes, np.asarray(values[row]))
            else:
                show_heat(axes, image, values[row])
        for name, patches in (marks or {}).items():
            column = 1 + list(maps).index(name)
            _frame_patch(cells[row, column], patches[row], np.shape(maps[name])[1:3])
    for axes, name in zip(cells[0], ["Image", *maps], strict=True):
        axes.set_title(name, fontsize=FONT_SIZE)
    return figure


def _frame_patch(axes: Axes, patch: Sequence[int], grid: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    height, width = (bottom - top) / grid[0], (right - left) / grid[1]
    corner = (left + patch[1] * width, top + patch[0] * height)
    for color, line in (("black", 2.5), ("white", 1.2)):
        axes.add_patch(
            Rectangle(corner, width, height, fill=False, edgecolor=color, linewidth=line)
        )


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
    images: Any,
    predicted: Sequence[str],
    heats: Any,
    *,
    true: Sequence[str] | None = None,
    scores: Sequence[float] | None = None,
    title: str | None = None,
    columns: int | None = None,
) -> Figure:
    """Draws test images, each beside its heat map, with what the model said.

    Args:
        images: (batch, height, width, 1 or 3) in [0, 1].
        predicted: the predicted label of each image.
        heats: (batch, grid rows, grid columns), each coloured over its own range.
        true: the true labels. A right prediction is marked with a tick and blue, a wrong one with
            a cross, vermilion and the true label. None leaves the judgement out.
        scores: probability of the predicted label, in [0, 1].
        title: above the picture.
        columns: pairs of image and map in a row; None is 2 for up to 8 images, else 4.

    Returns:
        The figure.

    Raises:
        ValueError: images of another shape or range, or sequences of another length.
    """
    images = check_image("images", images, 4)
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
    cells = _pair_cells(
        count, columns, images.shape[1] / images.shape[2],
        max(text.count("\n") + 1 for text, _ in captions), title,
    )  # fmt: skip
    for index, (left, right) in enumerate(cells):
        show_image(left, images[index])
        show_heat(right, images[index], heats[index])
        text, color = captions[index]
        left.text(
            0.0, 1.03, text, color=color, fontsize=FONT_SIZE, transform=left.transAxes,
            ha="left", va="bottom", linespacing=1.15,
        )  # fmt: skip
    return cells[0][0].figure


def _pair_cells(
    count: int, columns: int, aspect: float, lines: int, title: str | None
) -> list[tuple[Axes, Axes]]:
    """Lays out pairs of axes in inches: equal sizes, room for the caption above each pair.

    Args:
        count: pairs.
        columns: pairs in a row.
        aspect: height of an image over its width.
        lines: of the longest caption.
        title: of the figure.
    """
    rows = math.ceil(count / columns)
    gap, between, margin = 0.05, 0.22, 0.1
    width = min(1.7, (1.2 * COLUMN_WIDTH - 2 * margin) / (2 * columns) - (gap + between) / 2)
    height = width * aspect
    caption = 0.16 * lines + 0.12
    head = 0.28 if title else 0.0
    total = (
        2 * margin + columns * (2 * width + gap) + (columns - 1) * between,
        margin + head + rows * (height + caption),
    )
    figure = new_figure(*total)
    figure.set_layout_engine("none")
    if title:
        figure.text(0.5, 1 - 0.08 / total[1], title, fontsize=FONT_SIZE + 2, ha="center", va="top")
    cells = []
    for index in range(count):
        row, column = divmod(index, columns)
        x = margin + column * (2 * width + gap + between)
        y = total[1] - head - (row + 1) * (height + caption)
        size = (width / total[0], height / total[1])
        cells.append(
            tuple(
                figure.add_axes((left / total[0], y / total[1], *size))
                for left in (x, x + width + gap)
            )
        )
    return cells
