"""A linear classifier on frozen features."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.data.stratify import stratified_split
from keras_vit.evaluation.frozen_features import Features

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
HELD_OUT_FRACTION = 0.2
MAX_ITERATIONS = 1000


def linear_probe(
    train: Features,
    test: Features,
    *,
    strengths: Sequence[float] = STRENGTHS,
    held_out_fraction: float = HELD_OUT_FRACTION,
    seed: int = 0,
) -> dict[str, Any]:
    """Fits multinomial logistic regression to standardised features.

    The inverse strength of its L2 penalty, scikit-learn's `C`, is the one that is best on a part of
    each class held out of the training images (of equals the smallest); the classifier is then
    fitted again to all of them. The test images take no part in the choice.

    Args:
        train: what is learned from; at least two images of every class that has any.
        test: what is classified.
        strengths: values of `C` to choose from, above 0.
        held_out_fraction: share of each class held out for the choice, in (0, 1).
        seed: of what is held out.

    Returns:
        `accuracy` on the test images and `held_out_accuracy` at the choice, 0 to 1; the chosen `C`;
        `converged`, whether the last fit ended before its 1000 iterations.

    Raises:
        ValueError: fewer than two classes, a class of one image, or no strengths.
    """
    strengths = sorted(strengths)
    if not strengths or not strengths[0] > 0:
        raise ValueError(f"Expected values of C above 0. Received: {strengths}.")
    if (train.class_counts > 0).sum() < 2:
        raise ValueError("Expected training images of at least two classes. Received fewer.")
    kept, held_out = (
        train.subset(indices) for indices in stratified_split(train.labels, held_out_fraction, seed)
    )
    scores = {c: _accuracy(_fit(kept, c), held_out) for c in strengths}
    best = max(scores, key=scores.get)
    probe = _fit(train, best)
    return {
        "accuracy": _accuracy(probe, test),
        "C": float(best),
        "held_out_accuracy": scores[best],
        "converged": bool(np.max(probe[-1].n_iter_) < MAX_ITERATIONS),
    }


def _fit(train: Features, strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=MAX_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the result says it
        return probe.fit(train.vectors.astype("float64"), train.labels)


def _accuracy(probe: Any, features: Features) -> float:
    return float(probe.score(features.vectors.astype("float64"), features.labels))
