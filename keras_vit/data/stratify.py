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


def label_groups(labels: np.ndarray, bins: int = 10) -> np.ndarray:
    """Puts examples into groups for `stratified_split`: of labels that may be several, or values.

    Args:
        labels: `(examples, labels)`, 0 and 1, grouped by the rarest label that an example has; or
            values, grouped by the place of the first one in their order.
        bins: groups of values, at most; each has ten or more.

    Returns:
        `(examples,)` integers. A group of one goes to the largest other group.
    """
    if np.isin(labels, (0, 1)).all():
        rare = np.where(labels > 0, labels.sum(axis=0), np.inf)
        groups = np.where(labels.any(axis=-1), rare.argmin(axis=-1), labels.shape[1])
    else:
        order = np.argsort(np.argsort(labels[:, 0], kind="stable"), kind="stable")
        groups = order * max(1, min(bins, len(labels) // 10)) // len(labels)
    counts = np.bincount(groups)
    return np.where(counts[groups] == 1, counts.argmax(), groups)
