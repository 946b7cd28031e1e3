"""Rollout on plain arrays against reference values and hand-made cases."""

import json
import pathlib
import weakref

import numpy as np
import pytest

from keras_vit.interpret.attention_flow import HEAD_FUSIONS, fuse_heads, rollout, rollout_matrix

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "analysis" / "rollout"


@pytest.fixture(scope="module")
def golden():
    config = json.loads((GOLDEN / "case.json").read_text())["config"]
    arrays = np.load(GOLDEN / "io.npz")
    attentions = [arrays[f"attention_{i}"] for i in range(config["num_layers"])]
    return attentions, config["num_prefix_tokens"], tuple(config["grid_size"]), arrays


def random_attentions(layers=2, batch=2, heads=3, tokens=7, seed=0):
    values = np.random.default_rng(seed).random((layers, batch, heads, tokens, tokens)) + 0.01
    return list((values / values.sum(-1, keepdims=True)).astype("float32"))


def test_matches_the_reference_values(golden):
    attentions, prefix, grid, arrays = golden
    np.testing.assert_allclose(
        rollout(attentions, prefix, grid), arrays["rollout"], rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        rollout_matrix(attentions, prefix, grid), arrays["rollout_matrix"], rtol=1e-5, atol=1e-7
    )


def test_takes_any_iterator(golden):
    attentions, prefix, grid, arrays = golden
    np.testing.assert_allclose(
        rollout(iter(attentions), prefix, grid), arrays["rollout"], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
def test_head_fusion_is_taken_over_the_heads(fusion):
    attentions = random_attentions(layers=1)
    fused = getattr(attentions[0], fusion)(axis=1) + np.eye(7)
    expected = (fused / fused.sum(-1, keepdims=True))[:, 0, 1:].reshape(2, 2, 3)
    np.testing.assert_allclose(rollout(attentions, 1, (2, 3), fusion), expected, rtol=1e-5)


def test_discard_ratio_drops_the_lowest_weights_of_each_image():
    attention = np.array([[0.1, 0.2, 0.7], [0.05, 0.35, 0.6], [0.25, 0.3, 0.45]], "float32")
    batch = np.stack([attention, attention[:, ::-1]])[:, None]
    kept = np.where(batch[:, 0] < 0.3, 0, batch[:, 0]) + np.eye(3)  # 4 of 9 are below 0.3
    expected = (kept / kept.sum(-1, keepdims=True))[:, 0, 1:].reshape(2, 1, 2)
    result = rollout([batch], 1, (1, 2), discard_ratio=4.5 / 9)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_no_prefix_token_averages_over_the_patches():
    attentions = random_attentions(tokens=6)
    matrix = rollout_matrix(attentions, 0, (2, 3))
    np.testing.assert_allclose(
        rollout(attentions, 0, (2, 3)), matrix.mean(1).reshape(2, 2, 3), rtol=1e-5
    )


def test_readout_chooses_the_final_tokens():
    attentions = random_attentions()
    matrix = rollout_matrix(attentions, 1, (2, 3))
    weights = np.array([[0, 0, 1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0, 0]])
    result = rollout(attentions, 1, (2, 3), readout=weights)
    np.testing.assert_allclose(result[0].ravel(), matrix[0, 2, 1:], rtol=1e-5)
    np.testing.assert_allclose(result[1].ravel(), matrix[1, :2, 1:].mean(0), rtol=1e-5)


def test_prefix_columns_are_dropped_and_rows_sum_to_one():
    attentions = random_attentions(tokens=2 + 6)
    matrix = rollout_matrix(attentions, 2, (3, 2))
    np.testing.assert_allclose(matrix.sum(-1), 1, rtol=1e-5)
    result = rollout(attentions, 2, (3, 2))
    assert result.shape == (2, 3, 2) and result.dtype == np.float32
    np.testing.assert_allclose(result.sum((1, 2)), 1 - matrix[:, 0, :2].sum(-1), rtol=1e-5)


def test_one_map_is_held_at_a_time():
    alive = []

    def maps():
        for attention in random_attentions(layers=4):
            attention = attention.copy()
            assert not any(reference() is not None for reference in alive)
            alive.append(weakref.ref(attention))
            yield attention
            del attention

    rollout(maps(), 1, (2, 3))
    assert len(alive) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"head_fusion": "median"},
            "one of .'mean', 'max', 'min'.. Received: head_fusion='median'",
        ),
        ({"discard_ratio": 1.0}, r"in \[0, 1\). Received: discard_ratio=1.0"),
        ({"discard_ratio": -0.1}, r"in \[0, 1\). Received: discard_ratio=-0.1"),
        ({"grid": (3, 3)}, r"shape \(batch, heads, 10, 10\).*Received: shape \(2, 3, 7, 7\)"),
        ({"attentions": []}, "at least one block"),
        ({"readout": np.ones(3)}, r"`readout` of shape \(7,\) or \(2, 7\). Received: shape \(3,\)"),
    ],
)
def test_errors_say_what_was_expected(changes, message):
    arguments = {"attentions": random_attentions(), "num_prefix_tokens": 1, "grid": (2, 3)}
    with pytest.raises(ValueError, match=message):
        rollout(**{**arguments, **changes})


@pytest.mark.parametrize("fusion", list(HEAD_FUSIONS))
def test_heads_one_by_one_fuse_to_the_same_bits(fusion):
    maps = np.random.default_rng(0).random((2, 7, 9, 9), "float32")
    fused = fuse_heads((maps[:, head : head + 1] for head in range(7)), fusion)
    np.testing.assert_array_equal(fused[:, 0], HEAD_FUSIONS[fusion](maps, axis=1))
