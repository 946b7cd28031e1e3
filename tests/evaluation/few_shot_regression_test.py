"""The few-shot regression is the solution of its least squares, by another road too."""

import numpy as np
import pytest

from keras_vit.evaluation import Features, few_shot_regression, fit_regression


def independent_solution(x, y, l2):
    """Solves the same problem as ordinary least squares with the penalty as further rows."""
    mean, std = x.mean(0), x.std(0)
    x = np.concatenate([(x - mean) / (std + 1e-5), np.full((len(x), 1), 100.0)], axis=1)
    rows = np.concatenate([x, np.sqrt(l2) * np.eye(x.shape[1])])
    targets = np.concatenate([y, np.zeros((x.shape[1], y.shape[1]))])
    return np.linalg.lstsq(rows, targets, rcond=None)[0]


@pytest.mark.parametrize(("examples", "width"), [(40, 7), (12, 30), (8, 7)])
def test_the_weights_solve_the_least_squares_of_big_vision(examples, width):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, width)) * rng.uniform(0.1, 10, width) + rng.normal(size=width)
    labels = np.arange(examples) % 4
    y = np.where(np.arange(4) == labels[:, np.newaxis], 1.0, -1.0)
    fitted = fit_regression(x, labels, 4)
    expected = independent_solution(x, y, 1024.0)
    np.testing.assert_allclose(fitted.weights, expected, rtol=1e-9, atol=1e-12)
    assert np.abs(expected).max() > 1e-3
    other = rng.normal(size=(5, width))
    white = (other - x.mean(0)) / (x.std(0) + 1e-5)
    np.testing.assert_allclose(fitted(other), white @ expected[:-1] + 100 * expected[-1])


def test_both_forms_are_the_same_solution():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(9, 8)), np.arange(9) % 3  # nine columns with the bias: primal
    primal = fit_regression(x, labels, 3, l2=2.0)
    wide = np.concatenate([x, np.zeros((9, 6))], axis=1)  # columns that say nothing: dual
    dual = fit_regression(wide, labels, 3, l2=2.0)
    np.testing.assert_allclose(dual.weights[:8], primal.weights[:8], atol=1e-10)
    np.testing.assert_allclose(dual.weights[8:14], 0, atol=1e-12)
    np.testing.assert_allclose(dual.weights[14], primal.weights[8], atol=1e-10)


def test_the_bias_is_hardly_held_back():
    # Features that say nothing: the value of a class is its mean target, as a bias alone gives it.
    labels = np.repeat([0, 1], [30, 10])
    values = fit_regression(np.zeros((40, 3)), labels, 2)(np.zeros((1, 3)))
    np.testing.assert_allclose(values, [[0.5, -0.5]], atol=2e-3)


def separable(count, classes=5):
    labels = np.arange(count) % classes
    noise = np.random.default_rng(0).normal(size=(count, classes))
    return Features(20.0 * np.eye(classes)[labels] + noise, labels, classes)


def test_separable_classes_need_one_shot():
    rows = few_shot_regression.few_shot(separable(50), separable(20), shots=[1, 10])
    assert [row["shots"] for row in rows] == [1, 10]
    assert [row["accuracy"] for row in rows] == [1.0, 1.0]
    assert [row["deviation"] for row in rows] == [0.0, 0.0]


def test_seeds_are_averaged_and_make_the_result():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    vectors = rng.normal(size=(400, 6)) + 1.5 * np.eye(6)[labels]
    train = Features(vectors[:200], labels[:200], 4)
    test = Features(vectors[200:], labels[200:], 4)
    one, five = few_shot_regression.few_shot(train, test, shots=[1, 25])
    assert one["accuracy"] < five["accuracy"]
    assert len(set(one["accuracies"])) > 1
    assert one["accuracy"] == pytest.approx(np.mean(one["accuracies"]))
    assert one["deviation"] == pytest.approx(np.std(one["accuracies"]))
    (again,) = few_shot_regression.few_shot(train, test, shots=[1], seeds=[2, 1])
    assert again["accuracies"] == one["accuracies"][:0:-1]


def test_shots_are_of_every_class_and_grow():
    labels = np.random.default_rng(0).permutation(np.arange(60) % 3)
    few, more = (few_shot_regression.draw_shots(labels, 3, shots, seed=7) for shots in (2, 5))
    np.testing.assert_array_equal(np.bincount(labels[more]), [5, 5, 5])
    assert len(set(more)) == 15
    assert set(few) < set(more)
    assert set(few_shot_regression.draw_shots(labels, 3, 5, seed=8)) != set(more)


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(ValueError, match="class 1 with 2. Received: 3"):
        few_shot_regression.draw_shots(np.array([0, 0, 0, 1, 1]), 2, 3, seed=0)
    with pytest.raises(ValueError, match="class 2 with 0"):
        few_shot_regression.draw_shots(np.array([0, 1]), 3, 1, seed=0)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="`l2` to be a number above 0"):
        fit_regression(np.eye(2), [0, 1], 2, l2=0.0)
    with pytest.raises(ValueError, match="at least one seed"):
        few_shot_regression.few_shot(separable(20), separable(20), seeds=[])
