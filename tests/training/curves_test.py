"""The picture of the curves is there, whole, for every kind of history."""

import numpy as np
import pytest
from PIL import Image

from keras_vit.training.curves import plot_curves
from keras_vit.training.objectives import Classification

FIGURES = Classification.figures


def _line(epoch, **values):
    return {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5, "learning_rate": 1e-3, **values}


@pytest.mark.few(1)
@pytest.mark.parametrize("epochs, held_out", [(1, {"val_loss": 0.4, "val_accuracy": 0.9}), (5, {})])
def test_a_picture_is_written(tmp_path, epochs, held_out):
    path = tmp_path / "new" / "curves.png"
    plot_curves([_line(epoch, **held_out) for epoch in range(1, epochs + 1)], path, FIGURES)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape[1] > 1000
    assert [name.name for name in path.parent.iterdir()] == ["curves.png"]
    colours = {tuple(colour) for colour in pixels.reshape(-1, 3)}
    assert (0x00, 0x72, 0xB2) in colours
    assert ((0xD5, 0x5E, 0x00) in colours) == bool(held_out)
