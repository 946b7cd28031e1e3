"""Token merging against loops in NumPy: which tokens, what they become, where they are."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import layers
from keras_vit.layers.token_merging import number_merged

HERE = pathlib.Path(__file__).parent


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load(HERE / "merging_reference.py")


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def merged(tokens, keys, sizes, count, prefix):
    count = number_merged(count, tokens.shape[1], prefix)
    matching = layers.match_tokens(ops.convert_to_tensor(keys), count, prefix)
    new = layers.merge_tokens(ops.convert_to_tensor(tokens), ops.convert_to_tensor(sizes), matching)
    return matching, *map(as_numpy, new)


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("patches, count", [(8, 3), (9, 1), (9, 4), (9, 50), (2, 1), (3, 2)])
def test_merges_as_the_loops_do(prefix, patches, count):
    keys, tokens = random(3, prefix + patches, 4), random(3, prefix + patches, 6, seed=1)
    sizes = np.random.default_rng(2).integers(1, 9, size=keys.shape[:2]).astype("int32")
    matching, new, new_sizes = merged(tokens, keys, sizes, count, prefix)
    assert new.shape == (3, prefix + patches - min(count, patches // 2), 6)
    for image in range(3):
        pairs = reference.matching(keys[image].astype("float64"), count, prefix)
        expected, counts, places = reference.merge(
            tokens[image].astype("float64"), sizes[image], pairs, prefix
        )
        assert as_numpy(matching.sources)[image].tolist() == [source for source, _ in pairs]
        np.testing.assert_array_equal(as_numpy(matching.places)[image], places)
        targets = [places[target] for _, target in pairs]
        assert as_numpy(matching.targets)[image].tolist() == targets
        np.testing.assert_array_equal(new_sizes[image], counts)
        np.testing.assert_allclose(new[image], expected, atol=1e-5)
        np.testing.assert_array_equal(new[image, :prefix], tokens[image, :prefix])


def test_of_equal_similarities_the_lower_position_counts():
    keys = np.ones((1, 9, 4), "float32")
    matching, _, _ = merged(keys, keys, np.ones((1, 9), "int32"), 2, 1)
    assert as_numpy(matching.sources).tolist() == [[2, 4]]
    assert as_numpy(matching.targets).tolist() == [[3, 3]]  # both into position 1, now 3
    assert as_numpy(matching.kept).tolist() == [[0, 6, 8, 1, 3, 5, 7]]


def test_tokens_that_do_not_merge_keep_every_bit():
    tokens, sizes = random(2, 11, 6), np.full((2, 11), 3, "int32")
    matching, new, _ = merged(tokens, random(2, 11, 4, seed=3), sizes, 2, 1)
    kept, targets = as_numpy(matching.kept), as_numpy(matching.targets)
    for image in range(2):
        for position, old in enumerate(kept[image]):
            same = (new[image, position] == tokens[image, old]).all()
            assert same == (position not in targets[image])


def test_keys_of_zero_are_no_trouble():
    tokens = random(1, 6, 4)
    _, new, sizes = merged(tokens, np.zeros((1, 6, 4), "float32"), np.ones((1, 6), "int32"), 2, 0)
    assert np.isfinite(new).all() and sizes.sum() == 6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_average_of_many_is_taken_in_full_precision(dtype):
    tokens = ops.cast(np.ones((1, 4, 2), "float32"), dtype)
    sizes = np.array([[40000, 40000, 3, 1]], "int32")
    matching = layers.match_tokens(random(1, 4, 3), 2, 0)
    new, sizes = layers.merge_tokens(tokens, sizes, matching)
    assert keras.backend.standardize_dtype(new.dtype) == dtype
    np.testing.assert_array_equal(as_numpy(ops.cast(new, "float32")), 1)
    assert as_numpy(sizes).sum() == 80004


def test_unmerging_puts_copies_back():
    tokens = random(2, 3, 4)
    places = np.array([[0, 1, 1, 2], [2, 0, 2, 1]], "int32")
    layer = layers.TokenUnmerging()
    full = layer(tokens, places)
    np.testing.assert_array_equal(as_numpy(full), tokens[np.arange(2)[:, None], places])
    symbolic = layer(keras.KerasTensor((None, 3, 4)), keras.KerasTensor((None, 7), "int32"))
    assert symbolic.shape == (None, 7, 4)
