"""The curves of a run as a picture."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_vit.files import replacing
from keras_vit.training.callbacks import HELD_OUT
from keras_vit.training.objectives.objective import Figure

# Two colours of Okabe and Ito's palette that stay apart for colour-blind readers; the held-out
# curve is dashed as well.
_TRAIN = {"color": "#0072B2", "linestyle": "-", "label": "training"}
_HELD_OUT = {"color": "#D55E00", "linestyle": "--"}


def plot_curves(
    history: Sequence[Mapping[str, Any]],
    path: str | os.PathLike,
    figures: Sequence[Figure],
    *,
    watched: str = "held out",
) -> None:
    """Draws the figures of an objective, a panel each, and the learning rate against epochs.

    The history has at least one line of `history.jsonl`; `watched` is what the held-out curve is
    called.
    """
    from matplotlib import figure as figure_module
    from matplotlib.ticker import MaxNLocator

    count = len(figures) + 1
    picture = figure_module.Figure(figsize=(4 * count, 3.8), layout="constrained")
    *panels, rate = picture.subplots(1, count)
    marker = "o" if len(history) == 1 else None  # a single point makes no line
    for axes, figure in zip(panels, figures, strict=True):
        held_out = HELD_OUT + figure.name
        for name, style in ((figure.name, _TRAIN), (held_out, {**_HELD_OUT, "label": watched})):
            points = [
                (line["epoch"], figure.scale * line[name]) for line in history if name in line
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker=marker, **style)
        axes.set_ylabel(figure.label)
        axes.legend(frameon=False)
    figure = figures[-1]
    last = [line[HELD_OUT + figure.name] for line in history if HELD_OUT + figure.name in line]
    if last:
        panels[-1].set_title(f"{watched}: {figure.scale * last[-1]:.3g} at the end", fontsize=10)
    epochs = [line["epoch"] for line in history]
    rates = [line["learning_rate"] for line in history]
    rate.plot(epochs, rates, marker=marker, color=_TRAIN["color"])
    rate.set_ylabel("learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=True)
    for axes in (*panels, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        picture.savefig(temporary, dpi=120)
