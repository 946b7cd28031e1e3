"""Rows of axes of given sizes, with words above them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_vit.interpret.canvas import FONT_SIZE, TEXT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.16  # inches


def write_above(axes: Axes, text: str, color: str = "black") -> None:
    """Writes words above axes, from their left edge on."""
    axes.annotate(
        text, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", color=color,
        ha="left", va="bottom", fontsize=FONT_SIZE, linespacing=1.15, annotation_clip=False, **TEXT,
    )  # fmt: skip


def place_cells(
    heights: Sequence[float],
    widths: Sequence[float],
    above: Sequence[float],
    title: str | None,
    *,
    head: float = 0.0,
    pairs: bool = False,
) -> list[list[Axes]]:
    """Lays out rows of axes, all sizes in inches, on a figure as large as they need.

    There is room for words `above` each row, and `head` more above the first; in `pairs` columns
    stand closer.
    """
    gap, between, margin = 0.05, 0.22 if pairs else 0.05, 0.1
    lefts, x = [], margin
    for index, width in enumerate(widths):
        lefts.append(x)
        x += width + (gap if index % 2 == 0 else between)
    title_lines = textwrap.wrap(title or "", max(20, int(x * 12)))
    top = margin + 0.2 * len(title_lines) + head
    total = (x - between + margin, top + sum(heights) + sum(above) + margin)
    figure = new_figure(*total)
    figure.set_layout_engine("none")
    if title_lines:
        figure.text(
            0.5, 1 - 0.08 / total[1], "\n".join(title_lines), fontsize=FONT_SIZE + 2, ha="center",
            va="top", **TEXT,
        )  # fmt: skip
    cells, y = [], total[1] - top
    for height, room in zip(heights, above, strict=True):
        y -= room + height
        cells.append(
            [
                figure.add_axes(
                    (left / total[0], y / total[1], width / total[0], height / total[1])
                )
                for left, width in zip(lefts, widths, strict=True)
            ]
        )
    return cells
