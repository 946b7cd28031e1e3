"""Logistic regression from vectors to classes, as the kernel and the bias of a head."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.data.stratify import stratified_split

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
HELD_OUT_FRACTION = 0.2
MAX_ITERATIONS = 1000


@dataclasses.dataclass(frozen=True)
class LinearFit:
    """A fitted classifier; its logits are `vectors @ kernel + bias`.

    Attributes:
        kernel: float64 `(width, num_classes)`.
        bias: float64 `(num_classes,)`; minus infinity for a class without examples.
        strength: the chosen inverse strength of the penalty, scikit-learn's `C`.
        held_out_accuracy: at the choice, 0 to 1.
        converged: whether the last fit ended before its 1000 iterations.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    held_out_accuracy: float
    converged: bool

    def __str__(self) -> str:
        held_out = f"{100 * self.held_out_accuracy:.4g} % of what was held out to choose it"
        return f"C = {self.strength:g}, {held_out}"

    def accuracy(self, vectors: np.ndarray, labels: np.ndarray) -> float:
        """Returns the share of vectors `(examples, width)` whose highest logit is their label's."""
        logits = np.asarray(vectors, "float64") @ self.kernel + self.bias
        return float((logits.argmax(axis=1) == labels).mean())


def fit_linear(
    vectors: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    held_out_fraction: float = HELD_OUT_FRACTION,
    seed: int = 0,
) -> LinearFit:
    """Fits multinomial logistic regression to standardised vectors.

    The inverse strength of its penalty, scikit-learn's `C`, is the one that is best on a part of
    each class held out (of equals the smallest); the classifier is then fitted again to all.

    Args:
        vectors: `(examples, width)`.
        labels: `(examples,)` integers, 0 to `num_classes - 1`; at least two of every class that has
            any.
        num_classes: number of classes.
        strengths: values of `C` to choose from, above 0.
        held_out_fraction: share of each class held out for the choice, in (0, 1).
        seed: of what is held out.

    Returns:
        The classifier of the vectors as they are, not standardised.

    Raises:
        ValueError: fewer than two classes, a class of one example, or no strengths.
    """
    strengths = sorted(strengths)
    if not strengths or not strengths[0] > 0:
        raise ValueError(f"Expected values of C above 0. Received: {strengths}.")
    vectors, labels = np.asarray(vectors, "float64"), np.asarray(labels)
    if len(np.unique(labels)) < 2:
        raise ValueError("Expected training images of at least two classes. Received fewer.")
    kept, held_out = stratified_split(labels, held_out_fraction, seed)
    scores = {}
    for strength in strengths:
        fitted = _fit(vectors[kept], labels[kept], num_classes, strength)
        scores[strength] = fitted.accuracy(vectors[held_out], labels[held_out])
    best = max(scores, key=scores.get)
    fitted = _fit(vectors, labels, num_classes, best)
    return dataclasses.replace(fitted, held_out_accuracy=scores[best])


def _fit(vectors: np.ndarray, labels: np.ndarray, num_classes: int, strength: float) -> LinearFit:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors)
    regression: Any = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the result says it
        regression.fit(scaler.transform(vectors), labels)
    rows, offsets = regression.coef_, regression.intercept_
    if len(rows) == 1:  # of two classes: the logit of the second over the first
        rows, offsets = np.concatenate([-rows, rows]) / 2, np.concatenate([-offsets, offsets]) / 2
    rows = rows / scaler.scale_
    kernel, bias = np.zeros((vectors.shape[1], num_classes)), np.full(num_classes, -np.inf)
    kernel[:, regression.classes_] = rows.T
    bias[regression.classes_] = offsets - rows @ scaler.mean_
    converged = bool(np.max(regression.n_iter_) < MAX_ITERATIONS)
    return LinearFit(kernel, bias, float(strength), np.nan, converged)
