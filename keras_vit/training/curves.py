"""The curves of a run as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_vit.files import replacing

# Two colours of Okabe and Ito's palette that stay apart for colour-blind readers; the held-out
# curve is dashed as well.
_TRAIN = {"color": "#0072B2", "linestyle": "-", "label": "training"}
_HELD_OUT = {"color": "#D55E00", "linestyle": "--"}


def plot_curves(
    history: Sequence[Mapping[str, Any]], path: str | os.PathLike, *, watched: str = "held out"
) -> None:
    """Draws loss, accuracy and learning rate against epochs.

    Args:
        history: the lines of `history.jsonl`, one an epoch; at least one.
        path: the PNG file.
        watched: what the held-out curve is called, such as `"validation"`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(1, 3)
    panels = (
        (loss, "loss", 1, "cross-entropy (nats)"),
        (accuracy, "accuracy", 100, "accuracy (%)"),
    )
    marker = "o" if len(history) == 1 else None  # a single point makes no line
    for axes, key, scale, label in panels:
        for name, style in ((key, _TRAIN), (f"val_{key}", {**_HELD_OUT, "label": watched})):
            points = [(line["epoch"], scale * line[name]) for line in history if name in line]
            if points:
                axes.plot(*zip(*points, strict=True), marker=marker, **style)
        axes.set_ylabel(label)
        axes.legend(frameon=False)
    last = next((line["val_accuracy"] for line in history[::-1] if "val_accuracy" in line), None)
    if last is not None:
        accuracy.set_title(f"{watched}: {100 * last:.1f} % at the end", fontsize=10)
    epochs = [line["epoch"] for line in history]
    rates = [line["learning_rate"] for line in history]
    rate.plot(epochs, rates, marker=marker, color=_TRAIN["color"])
    rate.set_ylabel("learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=True)
    for axes in (loss, accuracy, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
