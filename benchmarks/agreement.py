"""How well the outputs of two models agree."""

from typing import Any

import numpy as np


def agreement(
    expected: dict[str, np.ndarray], received: dict[str, np.ndarray], labels: Any = None
) -> dict[str, float]:
    """Says how well the outputs of an exported form agree with those of its model.

    Args:
        expected: `logits` and `probabilities` of the model, (images, classes).
        received: those of the exported form.
        labels: the true class of each image, or None.

    Returns:
        `max_difference` of the probabilities, `cosine` between the logits (mean over the images),
        `top1_agreement` in [0, 1] and, with labels, `accuracy` of the exported form in [0, 1].
    """
    one, other = (np.asarray(o["logits"], "float64") for o in (expected, received))
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    difference = np.abs(expected["probabilities"] - received["probabilities"])
    best = other.argmax(-1)
    values = {
        "max_difference": difference.max(),
        "cosine": ((one * other).sum(-1) / np.maximum(norms, 1e-12)).mean(),
        "top1_agreement": (one.argmax(-1) == best).mean(),
    }
    if labels is not None:
        values["accuracy"] = (best == np.asarray(labels)).mean()
    return {name: float(value) for name, value in values.items()}
