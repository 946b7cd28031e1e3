"""A masked autoencoder and images -> what it makes of the patches that are hidden from it."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.files import read_json
from keras_vit.interpret.canvas import (
    COLUMN_WIDTH,
    FONT_SIZE,
    displayable,
    new_figure,
    show_image,
)
from keras_vit.interpret.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = {"original": "Image", "masked": "What it sees", "reconstructed": "What it fills in"}
_MAX_DRAWN = 8


def decoder_beside(source: str | os.PathLike) -> pathlib.Path | None:
    """Returns the `decoder.keras` that `keras-vit pretrain` left beside a model, or None."""
    path = pathlib.Path(os.fspath(source)).with_name("decoder.keras")
    return path if path.is_file() else None


def reconstruct(
    model: Any, images: np.ndarray, decoder: str | os.PathLike, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Hides patches of images at random and lets a masked autoencoder fill them in.

    Args:
        model: the `keras_vit.VisionTransformer` that was pre-trained.
        images: prepared, (batch, height, width, channels).
        decoder: its `decoder.keras`, beside the `summary.json` of the run.
        seed: of what is hidden.

    Returns:
        `original`, `masked` and `reconstructed`, as `images`.

    Raises:
        ValueError: a decoder of another model or image size.
    """
    import tensorflow as tf

    from keras_vit.training.objectives import MaskedAutoencoder

    summary, told = pathlib.Path(decoder).with_name("summary.json"), {}
    if summary.is_file():
        told = read_json(summary).get("objective", {})
    told = {name: told[name] for name in ("mask_ratio", "normalize_pixels") if name in told}
    objective = MaskedAutoencoder(**told, decoder=decoder)
    hide = objective.targets(model, None)
    examples = [
        hide(tf.constant(image), None, tf.constant([seed, number]))
        for number, image in enumerate(images)
    ]
    batch = tf.nest.map_structure(lambda *parts: tf.stack(parts), *examples)
    return objective.output_pictures(objective.network(model), batch)


def picture(model: Any, images: np.ndarray, decoder: str | os.PathLike) -> Picture:
    """Returns the picture of a report, of a few images; arguments are those of `reconstruct`."""
    return Picture(
        "reconstruction",
        "What it fills in",
        "Most patches of an image are hidden; from the others model and decoder make all of it "
        "(arXiv 2111.06377, Figure 2). The visible patches are drawn as they are.",
        lambda: draw(reconstruct(model, images[:_MAX_DRAWN], decoder), model.preprocessing),
    )


def draw(pictures: dict[str, np.ndarray], preprocessing: Any) -> Figure:
    """Draws what `reconstruct` returns, an image a row."""
    count, height, width, _ = pictures["original"].shape
    side = COLUMN_WIDTH / len(_COLUMNS)
    figure = new_figure(COLUMN_WIDTH, min(count * side * height / width + 0.3, 20))
    axes = figure.subplots(count, len(_COLUMNS), squeeze=False)
    for column, (name, title) in enumerate(_COLUMNS.items()):
        axes[0, column].set_title(title, fontsize=FONT_SIZE)
        for row, image in enumerate(displayable(pictures[name], preprocessing)):
            show_image(axes[row, column], image)
    return figure
