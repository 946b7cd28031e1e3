"""The linear probe learns what is linear, and chooses without the test images."""

import numpy as np
import pytest

from keras_vit.evaluation import Features, linear_probe


def clouds(count, seed, noise=1.0, classes=3):
    """Returns `count` features around a centre a class, on very different scales."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(size=(classes, 5))
    vectors = centres[labels] + noise * rng.normal(size=(count, 5))
    return Features(vectors * [1e-3, 1.0, 1e3, 1.0, 1.0] + 50.0, labels, classes)


def test_separable_classes_are_separated():
    result = linear_probe(clouds(60, 0, noise=0.01), clouds(30, 1, noise=0.01))
    assert result["accuracy"] == result["held_out_accuracy"] == 1.0
    assert result["converged"]


def test_the_strength_is_chosen_on_the_training_images_alone():
    train = clouds(60, 0, noise=2.0)
    result = linear_probe(train, clouds(90, 1, noise=2.0))
    labels = np.random.default_rng(2).permutation(clouds(90, 1, noise=2.0).labels)
    other = linear_probe(train, Features(clouds(90, 1, noise=2.0).vectors, labels, 3))
    assert 0.4 < result["accuracy"] < 1
    assert other["C"] == result["C"]
    assert other["held_out_accuracy"] == result["held_out_accuracy"]
    assert other["accuracy"] < result["accuracy"]


def test_the_best_strength_wins_and_of_equals_the_smallest():
    train, test = clouds(60, 0, noise=0.01), clouds(30, 1, noise=0.01)
    assert linear_probe(train, test, strengths=[100.0, 1.0, 10.0])["C"] == 1.0
    noisy = clouds(400, 0, noise=2.0)
    separate = {c: linear_probe(noisy, test, strengths=[c])["held_out_accuracy"]
                for c in (1e-6, 1.0)}  # fmt: skip
    assert separate[1.0] != separate[1e-6]
    chosen = linear_probe(noisy, test, strengths=[1e-6, 1.0])
    assert chosen["held_out_accuracy"] == max(separate.values())


def test_what_cannot_be_learned_is_refused():
    single = Features(np.eye(4), [0, 0, 0, 1], 2)
    with pytest.raises(ValueError, match="at least two examples of every class"):
        linear_probe(single, single)
    with pytest.raises(ValueError, match="two classes"):
        linear_probe(Features(np.eye(4), [0] * 4, 2), single)
    with pytest.raises(ValueError, match="above 0"):
        linear_probe(single, single, strengths=[0.0])
