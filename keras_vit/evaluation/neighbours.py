"""k nearest neighbours on frozen features."""

from collections.abc import Sequence

import numpy as np

from keras_vit.checks import check_number
from keras_vit.evaluation.frozen_features import Features

NEIGHBOURS = (1, 5, 10, 20)
TEMPERATURE = 0.07


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
    check_number("temperature", temperature, "(0, inf)")
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=max(k), algorithm="brute", metric="cosine")
    distances, found = finder.fit(train.vectors).kneighbors(test.vectors)  # nearest first
    labels = train.labels[found]
    # The nearest weighs 1, whatever the temperature: a common factor changes no vote.
    weights = np.exp((distances[:, :1] - distances).astype("float64") / temperature)
    rows = []
    for count in k:
        nearest, weight = labels[:, :count], weights[:, :count]
        weighted = _votes(nearest, weight, train.num_classes)
        majority = _votes(nearest, np.ones_like(weight), train.num_classes)
        majority += weighted / (2 * weighted.sum(axis=1, keepdims=True))  # below half a vote
        rows.append(
            {
                "k": int(count),
                "weighted": float(np.mean(weighted.argmax(axis=1) == test.labels)),
                "majority": float(np.mean(majority.argmax(axis=1) == test.labels)),
            }
        )
    return rows


def _votes(labels: np.ndarray, weights: np.ndarray, num_classes: int) -> np.ndarray:
    """Sums the weights by class: `(queries, num_classes)`."""
    queries = len(labels)
    places = labels + num_classes * np.arange(queries)[:, np.newaxis]
    sums = np.bincount(places.ravel(), weights=weights.ravel(), minlength=queries * num_classes)
    return sums.reshape(queries, num_classes)
