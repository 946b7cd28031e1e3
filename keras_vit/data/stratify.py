"""A split that keeps the share of every class, the same on every machine."""

from collections.abc import Sequence

import numpy as np

from keras_vit.checks import check_number


def stratified_split(
    labels: Sequence[int] | np.ndarray, held_out_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Parts indices in two, class by class.

    Args:
        labels: the class of each example, shape `(examples,)`.
        held_out_fraction: share of every class that is held out, in (0, 1); at least one example
            of each class goes to either side.
        seed: of the draw; NumPy keeps this stream fixed over its versions.

    Returns:
        Two sorted arrays of indices that together hold each index once: kept, held out.

    Raises:
        ValueError: a fraction outside (0, 1), or a class of a single example.
    """
    check_number("held_out_fraction", held_out_fraction, "(0, 1)")
    labels = np.asarray(labels)
    draw = np.random.RandomState(seed)
    kept, held_out = [], []
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise ValueError(
                "Expected at least two examples of every class, one to learn from and one to hold "
                f"out. Received one of class {label}."
            )
        size = min(max(1, round(len(members) * held_out_fraction)), len(members) - 1)
        held_out.append(members[:size])
        kept.append(members[size:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held_out))
