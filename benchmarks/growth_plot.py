"""Draws what `measure_growth` returned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.files import replacing

# Two colours of Okabe and Ito's palette that stay apart for colour-blind readers; the marker
# differs as well.
_STYLES = {
    "infer": {"color": "#0072B2", "marker": "o", "label": "inference"},
    "train": {"color": "#D55E00", "marker": "s", "label": "training step"},
}
_ROWS = {"s": "seconds a batch", "mib": "memory beyond the imports (MiB)"}
_X_LABELS = {
    "tokens": "tokens of an image",
    "batch_size": "images a batch",
    "num_layers": "encoder blocks",
    "hidden_size": "width of a token",
    "parameters": "parameters (millions)",
}
_CHANGED = {"num_layers": " of other depth", "hidden_size": " of other width"}
_PANEL_INCHES = (3.9, 3.7)
_CLOSEST_TICKS = 0.1  # of the length of an axis
_HEADROOM = 0.42  # of the range of an axis, for the legend above the points


def plot_growth(result: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Draws time and memory against every axis, with the fitted powers.

    Args:
        result: of `benchmarks.growth.measure_growth`.
        path: the PNG file: a column of two panels for each axis, time above memory, both axes of a
            panel logarithmic. Points that could not be measured are left out.
    """
    from matplotlib.figure import Figure

    axes, machine = result["axes"], result["machine"]
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(max(2, len(axes)) * width, 2 * height + 0.5), layout="constrained")
    panels = figure.subplots(2, len(axes), squeeze=False)
    for column, (name, axis) in enumerate(axes.items()):
        for row, unit in enumerate(_ROWS):
            _draw(panels[row][column], name, axis, unit)
            if column == 0:
                panels[row][column].set_ylabel(_ROWS[unit], fontsize=11)
        panels[0][column].set_title(_constant(axis["points"], name), fontsize=11)
    dtypes = sorted({point["dtype"] for axis in axes.values() for point in axis["points"]})
    figure.suptitle(
        f"{machine['processor']}, {machine['cores']} cores, {machine['backend']}, "
        f"{' and '.join(dtypes)}; the lines are the fitted powers",
        fontsize=12,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _draw(panel: Any, name: str, axis: Mapping[str, Any], unit: str) -> None:
    """Draws one measure of an axis, of inference and of training."""
    values: list[float] = []
    for command, style in _STYLES.items():
        measure = f"{command}_{unit}"
        pairs = [(p[name], p[measure]) for p in axis["points"] if (p[measure] or 0) > 0]
        if not pairs:
            continue
        x, y = (np.array(side, float) for side in zip(*sorted(pairs), strict=True))
        values.extend(y)
        fit = axis["fits"][measure]
        label = style["label"]
        if fit is not None:
            label += f": power {fit['exponent']:.2f}, $R^2$ {fit['r_squared']:.3f}"
            line = fit["factor"] * x[[0, -1]] ** fit["exponent"]
            panel.plot(x[[0, -1]], line, color=style["color"], linewidth=1.5, alpha=0.6)
        panel.plot(x, y, style["marker"], color=style["color"], markersize=6, label=label)
    panel.set(xscale="log", yscale="log")
    if values:
        lowest, highest = min(values), max(values)
        room = (highest / lowest) ** _HEADROOM * 1.5
        panel.set_ylim(lowest / 1.5, highest * room)
        panel.legend(loc="upper left", frameon=False, fontsize=10, handletextpad=0.3)
    panel.set_xlabel(_X_LABELS.get(name, name), fontsize=11)
    _ticks(panel, name, axis["points"])
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _ticks(panel: Any, name: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Puts ticks at the points, but for those too close to the one before; plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    labels = {point[name]: _tick_label(name, point) for point in points}
    places = np.log(sorted(labels))
    kept: list[float] = []
    for value, place in zip(sorted(labels), places, strict=True):
        closest = _CLOSEST_TICKS * (places[-1] - places[0])
        if not kept or place - np.log(kept[-1]) >= closest:
            kept.append(value)
    panel.xaxis.set_major_locator(FixedLocator(kept))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: labels.get(value, "")))
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    for one in (panel.xaxis, panel.yaxis):
        one.set_minor_locator(NullLocator())
    panel.tick_params(labelsize=9.5)


def _tick_label(name: str, point: Mapping[str, Any]) -> str:
    if name != "parameters":
        return f"{point[name]:,}"
    return f"{point[name] / 1e6:.3g}\n{_short(point['model'])}"


def _short(model: str) -> str:
    """The name of a variant as the paper writes it, such as S/16."""
    bare = model.removeprefix("ViT_")
    letters = bare.rstrip("0123456789")
    return f"{letters}/{bare[len(letters) :]}" if letters != bare else model


def _constant(points: Sequence[Mapping[str, Any]], name: str) -> str:
    """Says what the points of an axis have in common."""
    said = {
        "model": lambda model: _short(model) + _CHANGED.get(name, ""),
        "image_size": lambda size: " x ".join(map(str, dict.fromkeys(size))) + " px",
        "batch_size": lambda size: f"batch {size}",
    }
    parts = []
    for key, say in said.items():
        values = [point[key] for point in points]
        if key != name and all(value == values[0] for value in values):
            parts.append(say(values[0]))
    return ", ".join(parts)
