"""The confusion matrix as a picture."""

import os
from collections.abc import Sequence

import numpy as np

from keras_vit.files import replacing

MAX_LABELLED = 40


def plot_confusion_matrix(
    confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike, *, title: str = ""
) -> None:
    """Draws a confusion matrix: the shade is the share of a true class, the number the images.

    Args:
        confusion: `(num_classes, num_classes)` counts, row true and column predicted.
        class_names: name of each class; above 40 classes names and numbers are left out.
        path: the PNG file.
        title: a line above.
    """
    from matplotlib.figure import Figure

    confusion = np.asarray(confusion)
    count = len(class_names)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    labelled = count <= MAX_LABELLED
    side = min(14.0, 3.0 + (0.42 * count if labelled else 6.0))
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.8)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(title, parse_math=False)  # names are text, whatever dollars are in them
    if labelled:
        names = [name if len(name) <= 20 else f"{name[:19]}…" for name in class_names]
        upright = max(map(len, names)) > 3
        axes.set_xticks(range(count), names, rotation=90 if upright else 0, parse_math=False)
        axes.set_yticks(range(count), names, parse_math=False)
        for row, column in zip(*np.nonzero(confusion), strict=True):
            axes.text(
                column,
                row,
                f"{confusion[row, column]:,}",
                ha="center",
                va="center",
                fontsize=8 if count <= 20 else 5,
                color="white" if share[row, column] > 0.5 else "black",
            )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
