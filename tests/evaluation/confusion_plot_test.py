"""The confusion matrix is drawn for few and for many classes."""

import numpy as np
import pytest
from PIL import Image

from keras_vit.evaluation.confusion_plot import plot_confusion_matrix


@pytest.mark.parametrize("classes", [2, 10, 60])
def test_a_picture_is_written_whole(tmp_path, classes):
    confusion = np.eye(classes, dtype=int) * 7
    confusion[0, 1] = 3
    confusion[1] = 0  # a class without images
    names = ["$", r"$\nothing{ $", *(f"a rather long name of class {i}" for i in range(2, classes))]
    plot_confusion_matrix(confusion, names, tmp_path / "matrix.png", title="$digits^$")
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.png"]
    image = Image.open(tmp_path / "matrix.png").convert("L")
    assert image.width > 400
    assert np.asarray(image).std() > 5
