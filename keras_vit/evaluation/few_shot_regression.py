"""The paper's few-shot regression: least squares from frozen features to the classes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.checks import check_number
from keras_vit.evaluation.frozen_features import Features

SHOTS = (1, 5, 10, 25)
L2 = 2.0**10
SEEDS = (0, 1, 2)
BIAS = 100.0  # so large that the penalty hardly holds the bias back
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Regression:
    """A fitted regression.

    Attributes:
        mean: of the features it was fitted to, `(width,)`.
        scale: their standard deviation plus 1e-5, `(width,)`.
        weights: `(width + 1, num_classes)`; the last row belongs to the bias.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Returns a value for each class, near 1 for the right one and -1 for others."""
        return _whiten(vectors, self.mean, self.scale) @ self.weights


def fit_regression(
    vectors: np.ndarray, labels: np.ndarray, num_classes: int, *, l2: float = L2
) -> Regression:
    """Solves regularised least squares to targets of 1 for the right class and -1 for the others.

    Features are whitened by their own mean and deviation and get a column of 100 for the bias. The
    solution is `(X'X + l2 I)^-1 X'Y`. Everything is float64.

    Args:
        vectors: `(examples, width)`.
        labels: `(examples,)` integers, 0 to `num_classes - 1`.
        num_classes: number of classes.
        l2: strength of the penalty on the squared weights, above 0.

    Returns:
        The regression.

    Raises:
        ValueError: `l2` that is not above 0.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 4.1; the constants are
    those of big_vision, `evaluators/fewshot_lsr.py`.
    """
    check_number("l2", l2, "(0, inf)")
    vectors = np.asarray(vectors, "float64")
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0) + EPSILON
    x = _whiten(vectors, mean, scale)
    y = 2.0 * np.eye(num_classes)[labels] - 1.0
    from sklearn.linear_model import Ridge

    fitted = Ridge(l2, fit_intercept=False, solver="cholesky").fit(x, y)
    return Regression(mean, scale, fitted.coef_.T)


def _whiten(vectors: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    white = (np.asarray(vectors, "float64") - mean) / scale
    return np.pad(white, ((0, 0), (0, 1)), constant_values=BIAS)


def draw_shots(labels: np.ndarray, num_classes: int, shots: int, seed: int) -> np.ndarray:
    """Draws the same number of examples of every class.

    The draw of a smaller number with the same seed is part of that of a larger one.

    Returns:
        Indices, `(shots * num_classes,)`, class by class.

    Raises:
        ValueError: a class with fewer examples; the smallest is named.
    """
    counts = np.bincount(labels, minlength=num_classes)
    if shots < 1 or counts.min() < shots:
        raise ValueError(
            f"Expected `shots` from 1 to the images of the smallest class, which is class "
            f"{counts.argmin()} with {counts.min()}. Received: {shots}. Use fewer shots."
        )
    chosen = []
    for label in range(num_classes):
        draw = np.random.RandomState([seed, label])  # a stream that NumPy keeps over its versions
        chosen.append(draw.permutation(np.flatnonzero(labels == label))[:shots])
    return np.concatenate(chosen)


def few_shot(
    train: Features,
    test: Features,
    *,
    shots: Sequence[int] = SHOTS,
    l2: float = L2,
    seeds: Sequence[int] = SEEDS,
) -> list[dict[str, Any]]:
    """Classifies with a regression on a few training images of each class, drawn several times.

    Args:
        train: what the shots are drawn from.
        test: what is classified, all of it.
        shots: images a class, one result each.
        l2: strength of the penalty.
        seeds: one draw each.

    Returns:
        A row for each number of shots: `shots`, the mean `accuracy` over the draws (0 to 1), their
        standard `deviation` and `accuracies`, one a seed.

    Raises:
        ValueError: a class with fewer images than shots, or no seeds.
    """
    if not seeds:
        raise ValueError("Expected at least one seed. Received none.")
    rows = []
    for count in shots:
        accuracies = []
        for seed in seeds:
            chosen = draw_shots(train.labels, train.num_classes, count, seed)
            regression = fit_regression(
                train.vectors[chosen], train.labels[chosen], train.num_classes, l2=l2
            )
            predicted = regression(test.vectors).argmax(axis=1)
            accuracies.append(float((predicted == test.labels).mean()))
        rows.append(
            {
                "shots": int(count),
                "accuracy": float(np.mean(accuracies)),
                "deviation": float(np.std(accuracies)),
                "accuracies": accuracies,
            }
        )
    return rows
