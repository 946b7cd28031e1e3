"""Where blocks merge tokens, what is shown is that of the full sequence."""

import numpy as np
import pytest
from keras import ops

from keras_vit import interpret
from keras_vit.interpret.merged import (
    TokenState,
    average_merged,
    full_attention,
    full_tokens,
    gather_full,
    observe_block,
    split_row,
)
from keras_vit.layers.attention import attend

PLACES = np.array([[0, 2, 1, 2, 2], [0, 1, 1, 2, 1]], "int32")
SIZES = np.array([[1, 1, 3], [1, 3, 1]], "int32")


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def state():
    return TokenState(ops.convert_to_tensor(random(2, 3, 4)), {"sizes": SIZES, "places": PLACES})


def test_full_attention_is_that_of_a_sequence_of_copies(state):
    query, key = random(2, 3, 2, 4, seed=1), random(2, 3, 2, 4, seed=2)
    bias = np.log(SIZES)[:, None, None].astype("float32")
    _, merged = attend(*map(ops.convert_to_tensor, (query, key, key)), bias=ops.array(bias))
    copied = [np.stack([row[place] for row, place in zip(x, PLACES, strict=True)])
              for x in (query, key)]  # fmt: skip
    _, expected = attend(*map(ops.convert_to_tensor, (*copied, copied[1])))
    merged, expected = map(ops.convert_to_numpy, (merged, expected))
    np.testing.assert_allclose(full_attention(merged, state), expected, atol=1e-6)


def test_rows_of_merged_tokens_are_averaged(state):
    result = average_merged(random(2, 5, 7), state)
    matrix = random(2, 5, 7)
    np.testing.assert_allclose(result[0, 1], matrix[0, [1, 3, 4]].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(result[0, 1], result[0, 4])
    np.testing.assert_allclose(result[0, 2], matrix[0, 2], rtol=1e-5)


def test_what_is_gathered_is_split_by_size(state):
    row = random(2, 5)
    merged = gather_full(row[:, :, None], state)[:, :, 0]
    np.testing.assert_allclose(merged[1], [row[1, 0], row[1, [1, 2, 4]].sum(), row[1, 3]])
    whole = split_row(merged, TokenState(random(2, 5, 4)), state)
    np.testing.assert_allclose(whole[1, [1, 2, 4]], merged[1, 1] / 3, rtol=1e-6)
    np.testing.assert_allclose(whole.sum(1), row.sum(1), rtol=1e-5)
    places = np.array([[0, 1, 2, 3, 3], [0, 1, 3, 2, 1]])
    before = TokenState(random(2, 4, 4), {"places": places})
    part = split_row(merged, before, state)
    np.testing.assert_allclose(part[1], merged[1] @ [[1, 0, 0, 0], [0, 2 / 3, 0, 1 / 3],
                                                     [0, 0, 1, 0]], rtol=1e-5)  # fmt: skip


def test_nothing_changes_where_nothing_merged():
    state = TokenState(random(2, 5, 4))
    for value in (full_tokens(state), gather_full(state.tokens, state)):
        assert value is state.tokens
    attention = random(2, 1, 5, 5)
    assert full_attention(attention, state) is attention
    assert split_row(attention, state, state) is attention
    assert average_merged(attention, state) is attention


def test_rollout_is_the_path_that_the_tokens_went(make, images):
    """By hand, in the merged sequence: attention, then the averages that merging takes."""
    model = make(token_merging=2)
    state, total = TokenState.of(model.embed(images())), np.tile(np.eye(7), (2, 1, 1))
    for block in model.blocks:
        before = state
        state, attention = observe_block(block, before)
        mixed = ops.convert_to_numpy(attention).mean(1) + np.eye(attention.shape[-1])
        total = mixed / mixed.sum(-1, keepdims=True) @ total
        sizes, places = (ops.convert_to_numpy(x) for x in (state.sizes, state.places))
        older = np.tile(np.arange(7), (2, 1)) if before.places is None else before.places
        older_sizes = np.ones((2, 7)) if before.sizes is None else before.sizes
        older, older_sizes = ops.convert_to_numpy(older), ops.convert_to_numpy(older_sizes)
        merge = np.zeros((2, sizes.shape[1], older_sizes.shape[1]))
        for image in range(2):
            for new, old in set(zip(places[image], older[image], strict=True)):
                merge[image, new, old] = older_sizes[image, old] / sizes[image, new]
        total = merge @ total
    result = interpret.attention_rollout(model, images())
    np.testing.assert_allclose(result.reshape(2, -1), total[:, 0, 1:], rtol=1e-4)


@pytest.mark.few(1)
@pytest.mark.parametrize("pooling", ["token", "map", "token+gap"])
def test_merging_what_is_the_same_changes_no_map(pooling, make, images):
    """Two pairs of patches are the same; they merge in the first block, and nothing else does."""
    plain, merging = (make.build(pooling=pooling, token_merging=count) for count in (0, (2, 0, 0)))
    for model in (plain, merging):
        embedding = model.parts.embedding[-1].position_embedding
        embedding.assign(np.zeros(embedding.shape))
    x = images()
    x[:, :4, 4:8], x[:, 4:, :4] = x[:, :4, :4], x[:, :4, 8:]  # patches 0 and 1, 2 and 3
    assert merging.blocks[-1].output[0].shape[1] == 5
    for measure in (
        lambda model: ops.convert_to_numpy(model(x)),
        lambda model: interpret.patch_features(model, x),
        lambda model: interpret.attention_rollout(model, x),
        lambda model: interpret.attention_distance(model, x),
        lambda model: np.stack(interpret.attention_maps(model, x)),
        lambda model: np.stack([interpret.class_relevance(model, x, c) for c in (1, 3)]),
    ):
        expected = measure(plain)
        assert np.ptp(expected) > 0.01
        np.testing.assert_allclose(measure(merging), expected, rtol=1e-3, atol=1e-5)


def test_features_stand_at_their_places(make, images):
    model = make(token_merging=2)
    features = interpret.patch_features(model, images(), 1)
    assert features.shape == (2, 2, 3, 16)
    extracted = interpret.feature_extractor(model, [0, 1])(images())
    assert [tuple(tokens.shape) for tokens in extracted] == 2 * [(2, 7, 16)]
    np.testing.assert_allclose(
        features.reshape(2, 6, 16), ops.convert_to_numpy(extracted[1])[:, 1:], atol=1e-5
    )
