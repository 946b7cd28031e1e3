"""k nearest neighbours on frozen features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from keras_vit.evaluation.features import Features

NEIGHBOURS = (1, 5, 10, 20)
TEMPERATURE = 0.07
_SIMILARITIES_AT_ONCE = 2**25  # 128 MiB of float32


def nearest_neighbours(
    train: Features,
    test: Features,
    *,
    k: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> list[dict[str, float]]:
    """Classifies each test image by the labels of the training images most like it.

    Likeness is the cosine of the features. Each of the `k` nearest votes for its class: with weight
    `exp(cosine / temperature)`, or with weight one. Where votes are equal the weights decide.

    Args:
        train: the neighbours.
        test: what is classified.
        k: numbers of neighbours, each from 1 to the training images.
        temperature: above 0; small values let the nearest decide.

    Returns:
        A row for each number: `{"k": ..., "weighted": accuracy, "majority": accuracy}`, 0 to 1.

    Raises:
        ValueError: numbers outside their range.

    Reference: "Emerging Properties in Self-Supervised Vision Transformers" (arXiv 2104.14294),
    section 4.1 and appendix; the weighted vote is that of "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination" (arXiv 1805.01978), section 3.4.
    """
    examples = len(train.labels)
    if not k or min(k) < 1 or max(k) > examples:
        raise ValueError(
            f"Expected numbers of neighbours from 1 to the {examples} training images. "
            f"Received: {list(k)}."
        )
    if not temperature > 0:
        raise ValueError(f"Expected `temperature` above 0. Received: {temperature!r}.")
    right = np.zeros((len(k), 2), int)
    for cosines, labels, truth in _nearest(train, test, max(k)):
        # The nearest weighs 1, whatever the temperature: a common factor changes no vote.
        weights = np.exp((cosines - cosines[:, :1]) / temperature)
        for row, count in enumerate(k):
            weighted = _votes(labels[:, :count], weights[:, :count], train.num_classes)
            majority = _votes(
                labels[:, :count], np.ones_like(weights[:, :count]), train.num_classes
            )
            majority += weighted / (2 * weighted.sum(axis=1, keepdims=True))  # below half a vote
            right[row] += [(v.argmax(axis=1) == truth).sum() for v in (weighted, majority)]
    return [
        {"k": int(count), "weighted": float(weighted), "majority": float(majority)}
        for count, (weighted, majority) in zip(k, right / len(test.labels), strict=True)
    ]


def _nearest(
    train: Features, test: Features, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields cosines and labels of the nearest, nearest first, and the truth, for some queries."""
    known, asked = _unit(train.vectors), _unit(test.vectors)
    step = max(1, _SIMILARITIES_AT_ONCE // len(known))
    for start in range(0, len(asked), step):
        cosines = asked[start : start + step] @ known.T
        if count < len(known):
            chosen = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        else:
            chosen = np.tile(np.arange(len(known)), (len(cosines), 1))
        found = np.take_along_axis(cosines, chosen, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        labels = train.labels[np.take_along_axis(chosen, order, axis=1)]
        cosines = np.take_along_axis(found, order, axis=1).astype("float64")
        yield cosines, labels, test.labels[start : start + step]


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _votes(labels: np.ndarray, weights: np.ndarray, num_classes: int) -> np.ndarray:
    """Sums the weights by class: `(queries, num_classes)`."""
    queries = len(labels)
    places = labels + num_classes * np.arange(queries)[:, np.newaxis]
    sums = np.bincount(places.ravel(), weights=weights.ravel(), minlength=queries * num_classes)
    return sums.reshape(queries, num_classes)
