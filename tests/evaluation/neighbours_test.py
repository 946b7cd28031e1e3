"""The votes of the neighbours agree with a count by hand and with scikit-learn."""

import numpy as np
import pytest

from keras_vit.evaluation import Features, nearest_neighbours


def at_angles(degrees, labels, num_classes=2):
    """Returns features of any length at these angles: the cosine sees the angle alone."""
    radians = np.deg2rad(degrees)
    lengths = 1.0 + np.arange(len(degrees))[:, np.newaxis]
    vectors = lengths * np.stack([np.cos(radians), np.sin(radians)], axis=1)
    return Features(vectors, labels, num_classes)


def test_a_near_neighbour_outweighs_two_far_ones():
    train = at_angles([1, 60, 65], [0, 1, 1])
    test = at_angles([0], [0])
    (row,) = nearest_neighbours(train, test, k=[3])
    assert row == {"k": 3, "weighted": 1.0, "majority": 0.0}
    # exp(1 / T) against exp(cos 60 / T) + exp(cos 65 / T): a high temperature lets numbers win.
    (row,) = nearest_neighbours(train, test, k=[3], temperature=10.0)
    assert row["weighted"] == 0.0


def test_equal_votes_go_to_the_nearer_neighbour():
    train = at_angles([50, 20], [0, 1])
    (row,) = nearest_neighbours(train, at_angles([0], [1]), k=[2])
    assert row["majority"] == 1.0


def test_the_temperature_is_that_of_the_paper():
    # Two of class 1 at cosine c beat one of class 0 at cosine 1 where 2 exp(c / T) > exp(1 / T):
    # with T = 0.07 from c = 1 - 0.07 ln 2 = 0.9515, an angle of 17.92 degrees, on.
    test = at_angles([0], [1])
    for angle, accuracy in ((17.5, 1.0), (18.3, 0.0)):
        (row,) = nearest_neighbours(at_angles([0, angle, -angle], [0, 1, 1]), test, k=[3])
        assert row["weighted"] == accuracy


def test_votes_agree_with_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 150)
    vectors = rng.normal(size=(150, 6)) + 2 * np.eye(6)[labels]
    train = Features(vectors[:100], labels[:100], 4)
    test = Features(vectors[100:], labels[100:], 4)
    rows = nearest_neighbours(train, test, k=[1, 7, 100])
    for row in rows:
        known = KNeighborsClassifier(
            row["k"], metric="cosine", weights=lambda distance: np.exp(-distance / 0.07)
        )
        expected = known.fit(train.vectors, train.labels).score(test.vectors, test.labels)
        assert 0.5 < expected < 1
        assert row["weighted"] == pytest.approx(expected)
    assert rows[0]["majority"] == rows[0]["weighted"]


@pytest.mark.parametrize("k", [[], [0], [1, 4]])
def test_impossible_numbers_of_neighbours_are_refused(k):
    train = at_angles([0, 1, 2], [0, 1, 1])
    with pytest.raises(ValueError, match="from 1 to the 3 training images"):
        nearest_neighbours(train, train, k=k)


def test_a_temperature_of_nothing_is_refused():
    train = at_angles([0, 1], [0, 1])
    with pytest.raises(ValueError, match="above 0"):
        nearest_neighbours(train, train, k=[1], temperature=0.0)
