"""Tiny models as timm and transformers save them, loaded without any hint: the same numbers.

Each folder of `tests/fixtures/zoo` is what the library writes, and in `io.npz` what it computes.
"""

import pathlib

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint

ZOO = pathlib.Path(__file__).parents[1] / "fixtures" / "zoo"
CASES = sorted(path.parent for path in ZOO.glob("*/io.npz"))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.filterwarnings("error")
def test_computes_what_the_library_computes(folder):
    with np.load(folder / "io.npz") as arrays:
        images, expected = arrays["images"], arrays["output"]
    model = from_checkpoint(folder, classifier_activation=None)
    output = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(output, expected, atol=1e-4 * np.abs(expected).max())
