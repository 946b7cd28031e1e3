"""Runners of exported files."""

import numpy as np
import pytest

from keras_vit.export.runtimes import in_batches


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_a_fixed_batch_is_filled_up_and_cut(count):
    sizes = []

    def run(images):
        sizes.append(len(images))
        return {"sum": images.sum(axis=(1, 2))}

    images = np.random.default_rng(0).normal(size=(count, 2, 3))
    outputs = in_batches(run, 2)(images)
    np.testing.assert_array_equal(outputs["sum"], images.sum(axis=(1, 2)))
    assert set(sizes) == {2}
    assert in_batches(run, None) is run
