"""A linear classifier on frozen features."""

from collections.abc import Sequence
from typing import Any

from keras_vit.evaluation.frozen_features import Features
from keras_vit.training.linear_fit import HELD_OUT_FRACTION, STRENGTHS, fit_linear


def linear_probe(
    train: Features,
    test: Features,
    *,
    strengths: Sequence[float] = STRENGTHS,
    held_out_fraction: float = HELD_OUT_FRACTION,
    seed: int = 0,
) -> dict[str, Any]:
    """Fits multinomial logistic regression to standardised features, and measures it.

    The inverse strength of its penalty is chosen on a part of the training images, as
    `keras_vit.training.linear_fit` does it; the test images take no part in the choice.

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
    probe = fit_linear(
        train.vectors,
        train.labels,
        train.num_classes,
        strengths=strengths,
        held_out_fraction=held_out_fraction,
        seed=seed,
    )
    return {
        "accuracy": probe.accuracy(test.vectors, test.labels),
        "C": probe.strength,
        "held_out_accuracy": probe.held_out_accuracy,
        "converged": probe.converged,
    }
