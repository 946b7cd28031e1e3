"""A drawing of the suite: every race as bars, with the spread and the machine's limit."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.suite import OURS
from keras_vit.files import replacing

_COLORS = {True: "#1f77b4", False: "#b0b0b0"}


def plot_suite(result: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Draws the races of a suite, and the peak memory of training.

    Args:
        result: what `measure_suite` returned, with one race at least.
        path: a PNG file, written in one move.
    """
    from matplotlib.figure import Figure

    races = result["races"]
    memory = {name: race for name, race in races.items() if name.startswith("training")}
    count = len(races) + len(memory)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(5.4 * columns, 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.set_visible(False)
    for panel, (name, race) in zip(panels, races.items(), strict=False):
        _draw_speed(panel, name, race)
    for panel, (name, race) in zip(panels[len(races) :], memory.items(), strict=False):
        peaks = {each["subject"]: each["train_peak_mib"] / 1024 for each in race["subjects"]}
        _bars(panel, {subject: [peak] for subject, peak in peaks.items() if peak})
        panel.set(title=f"{name}, batch {race['batch_size']}", xlabel="peak memory (GiB)")
    machine = result["machine"]
    figure.suptitle(f"{result['model']}, {machine['processor']}, {machine['cores']} cores")
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=100)


def _draw_speed(panel: Any, name: str, race: Mapping[str, Any]) -> None:
    trains, batch_size = name.startswith("training"), race["batch_size"]
    command = "train_s" if trains else "infer_s"
    rates = {
        each["subject"]: [batch_size / seconds for seconds in each[command]]
        for each in race["subjects"]
        if each[command]
    }
    _bars(panel, rates)
    limit = race["matrix_product_gflops"] / race["gflop_per_image"] / (3 if trains else 1)
    panel.axvline(limit, color="black", linestyle="--", linewidth=1)
    note = {"ha": "right", "va": "top", "rotation": 90, "fontsize": 8}
    place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    panel.annotate("limit", (limit, 1), xytext=(-2, -4), **place, **note)
    panel.set(title=f"{name.split(',')[0]}, batch {batch_size}", xlabel="images a second")


def _bars(panel: Any, values: Mapping[str, list[float]]) -> None:
    """Draws medians as bars, best at the top, with lowest and highest."""
    names = sorted(values, key=lambda name: statistics.median(values[name]))
    medians = [statistics.median(values[name]) for name in names]
    spread = [
        [median - min(values[name]) for name, median in zip(names, medians, strict=True)],
        [max(values[name]) - median for name, median in zip(names, medians, strict=True)],
    ]
    colors = [_COLORS[name.startswith(OURS)] for name in names]
    bars = panel.barh(names, medians, color=colors, xerr=spread, ecolor="#404040", capsize=2)
    labels = [f"{median:.3g}" for median in medians]
    panel.bar_label(bars, labels, label_type="center", color="white", fontsize=8)
    panel.tick_params(axis="y", labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
