"""Runners of exported files."""

import numpy as np
import pytest

from keras_vit.export import runtimes


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_a_fixed_batch_is_filled_up_and_cut(count):
    sizes = []

    def run(images):
        sizes.append(len(images))
        return {"sum": images.sum(axis=(1, 2))}

    images = np.random.default_rng(0).normal(size=(count, 2, 3))
    outputs = runtimes._in_batches(run, images, 2)
    np.testing.assert_array_equal(outputs["sum"], images.sum(axis=(1, 2)))
    assert set(sizes) == {2}
