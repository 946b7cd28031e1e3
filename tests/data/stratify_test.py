"""The stratified split keeps shares, loses nothing and never moves."""

import numpy as np
import pytest

from keras_vit.data.stratify import stratified_split


def test_both_sides_together_hold_every_index_once():
    kept, held_out = stratified_split(np.arange(50) % 3, 0.2, seed=0)
    assert sorted([*kept, *held_out]) == list(range(50))


def test_every_class_gives_the_same_share():
    labels = np.repeat([0, 1, 2], [10, 20, 100])
    _, held_out = stratified_split(labels, 0.2, seed=0)
    assert np.bincount(labels[held_out]).tolist() == [2, 4, 20]


def test_a_small_class_is_on_both_sides():
    labels = [0] * 2 + [1] * 50
    kept, held_out = stratified_split(labels, 0.1, seed=0)
    assert 0 in np.take(labels, kept)
    assert 0 in np.take(labels, held_out)
    kept, _ = stratified_split(labels, 0.9, seed=0)
    assert 0 in np.take(labels, kept)


def test_the_draw_is_pinned():
    _, held_out = stratified_split(np.arange(20) % 2, 0.3, seed=0)
    assert held_out.tolist() == [3, 4, 7, 8, 11, 16]


def test_another_seed_draws_otherwise():
    labels = np.arange(40) % 2
    first, second = (stratified_split(labels, 0.5, seed)[1].tolist() for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_an_impossible_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match="held_out_fraction"):
        stratified_split([0, 0, 1, 1], fraction, seed=0)


def test_a_class_of_one_is_refused():
    with pytest.raises(ValueError, match="one of class 1"):
        stratified_split([0, 0, 1], 0.5, seed=0)
