"""Mean attention distance on plain arrays against reference values and hand-made cases."""

import json
import pathlib

import numpy as np
import pytest

from keras_vit.interpret.distance import mean_attention_distance, patch_distances

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "analysis" / "attention_distance"


@pytest.mark.parametrize(
    ("renormalize", "name"), [(False, "distance"), (True, "distance_renormalised")]
)
def test_matches_the_reference_values(renormalize, name):
    config = json.loads((GOLDEN / "case.json").read_text())["config"]
    arrays = np.load(GOLDEN / "io.npz")
    result = mean_attention_distance(
        [arrays[f"attention_{i}"] for i in range(config["num_layers"])],
        config["num_prefix_tokens"],
        tuple(config["grid_size"]),
        config["patch_size"],
        renormalize=renormalize,
    )
    assert result.shape == (3, 2) and result.dtype == np.float32
    np.testing.assert_allclose(result, arrays[name], rtol=1e-5)


def test_patches_are_row_major_and_distances_in_pixels():
    distances = patch_distances((2, 3), 16)
    assert distances.shape == (6, 6)
    assert distances[0, 1] == 16  # the same row
    assert distances[0, 3] == 16  # the row below
    assert patch_distances((2, 3), 7)[0, 1] == 7
    np.testing.assert_allclose(distances[0, 5], 16 * np.hypot(1, 2), rtol=1e-6)


def test_a_head_that_looks_at_itself_has_distance_zero():
    attention = np.broadcast_to(np.eye(7, dtype="float32"), (2, 3, 7, 7))
    np.testing.assert_array_equal(mean_attention_distance([attention], 1, (2, 3), 16), 0)


@pytest.mark.parametrize("renormalize", [False, True])
def test_a_head_that_looks_at_the_class_token_alone_has_distance_zero(renormalize):
    attention = np.zeros((1, 1, 5, 5), "float32")
    attention[..., 0] = 1
    result = mean_attention_distance([attention], 1, (2, 2), 16, renormalize=renormalize)
    np.testing.assert_array_equal(result, 0)


def test_no_block_is_an_error():
    with pytest.raises(ValueError, match="at least one block"):
        mean_attention_distance([], 1, (2, 3), 16)


def test_a_wrong_grid_is_an_error():
    with pytest.raises(ValueError, match=r"grid of \(3, 3\) patches. Received: shape"):
        mean_attention_distance([np.zeros((1, 1, 7, 7))], 1, (3, 3), 16)
