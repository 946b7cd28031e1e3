"""From the outputs of a model to words: ImageNet's class names and the best classes of an image.

The names come with the package, so nothing is downloaded; `class_names/README.md` says where they
are from.
"""

import functools
import gzip
import importlib.resources
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.checks import check_int

CLASS_SETS = {1000: "1k", 21843: "21k"}
_PARTS = 512  # of a row of scores, whose best are compared first


@functools.cache
def _table() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Rows (WordNet id, name, class sets), sorted by id."""
    file = importlib.resources.files("keras_vit.images") / "class_names" / "imagenet.tsv.gz"
    lines = gzip.decompress(file.read_bytes()).decode("ascii").splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple((wordnet_id, name, tuple(sets.split(","))) for wordnet_id, name, sets in rows)


@functools.cache
def imagenet_classes(count: int = 1000) -> tuple[tuple[str, str], ...]:
    """Returns the classes of an ImageNet head in the order of its columns.

    Args:
        count: 1000 for ImageNet-1k (ILSVRC-2012), 21843 for ImageNet-21k as Google ordered it.

    Returns:
        (WordNet id, name) for each class, such as `("n01440764", "tench")`; names of several words
        have underscores, as in WordNet. A few names occur twice, ids never.

    Raises:
        ValueError: another count.

    Reference: ids of ILSVRC-2012 and of the 21,843 classes of "Big Transfer" (arXiv 1912.11370),
    which Google's ViT checkpoints share; names of WordNet 3.0.
    """
    if count not in CLASS_SETS:
        raise ValueError(
            f"Expected a class count with known names, one of {sorted(CLASS_SETS)}. "
            f"Received: {count!r}. Give the names of other classes as `labels=`."
        )
    return tuple((key, name) for key, name, sets in _table() if CLASS_SETS[count] in sets)


def check_labels(labels: Sequence[str], count: int) -> list[str]:
    """Returns `labels` as a list of `count` names, or says what is wrong with them.

    Args:
        labels: one name for each class, in the order of the columns.
        count: classes of the model.

    Raises:
        ValueError: another number of names, or something that is not a string of one line.
    """
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Sequence):
        raise ValueError(f"Expected `labels` to be a list of {count} names. Received: {labels!r}.")
    if len(labels) != count:
        raise ValueError(
            f"Expected `labels` to name each of the {count} classes. Received: {len(labels)} names."
        )
    for label in () if _are_plain(labels) else labels:
        if not isinstance(label, str) or not label.strip() or len(label.splitlines()) != 1:
            raise ValueError(
                "Expected each of `labels` to be a string of one line that is not blank. "
                f"Received: {label!r}."
            )
    return list(labels)


def _are_plain(labels: Sequence[str]) -> bool:
    """Whether one look at all tells that they are what they should be; a no tells nothing."""
    try:
        return "".join(labels).isprintable() and all(map(str.strip, labels))
    except TypeError:
        return False


def read_labels(path: str | os.PathLike, count: int) -> list[str]:
    """Reads the names of a model's classes from a file.

    Args:
        path: a text file with one name a line, or a JSON file with a list, itself or under
            `"class_names"` (as training's `summary.json`) or `"labels"` (as `metadata.json`).
        count: classes of the model.

    Raises:
        ValueError: not such a file, or another number of names; the error names the file.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text("utf-8-sig")  # some editors put a mark before the first name
        values = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except ValueError as error:
        raise ValueError(
            f"Expected a text file with one name a line, or a JSON file. Received: '{path}', "
            f"which cannot be read as such ({error})."
        ) from error
    if isinstance(values, dict):
        values = values.get("class_names", values.get("labels"))
    try:
        return check_labels(values, count)
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error


def labels_beside(model_path: str | os.PathLike, count: int) -> list[str] | None:
    """Returns the class names that training left beside a model, or None where there are none.

    Args:
        model_path: the model's file, with `summary.json` in the same folder.
        count: classes of the model; names of another number are passed over.
    """
    try:
        return read_labels(pathlib.Path(model_path).with_name("summary.json"), count)
    except (OSError, ValueError):
        return None


def decode_predictions(
    preds: Any,
    top: int = 5,
    labels: Sequence[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
) -> list[list[tuple[Any, str, float]]]:
    """Turns the outputs of a classifier into the names of its best classes, offline.

    Args:
        preds: array or tensor of shape (batch, classes). Probabilities and logits are taken alike:
            no softmax is applied, the scores are the values themselves.
        top: how many classes to name for each image; all of them where there are fewer.
        labels: one name for each class; None for ImageNet's own with 1000 or 21,843 classes.
        class_names: the same, by the name that they have in data sets.

    Returns:
        For each image a list of (WordNet id, name, score), best first, classes of equal score in
        the order of their columns. With `labels` the first entry is the column, an integer.

    Raises:
        ValueError: another rank, a class count without known names, `labels` of another length or
            beside `class_names`, or `top` below 1.

    Example:
        >>> import numpy as np
        >>> decode_predictions(np.eye(1000)[[207]], top=1)
        [[('n02099601', 'golden_retriever', 1.0)]]
    """
    scores = _to_numpy(preds)
    if scores.ndim != 2:
        raise ValueError(
            "Expected predictions of shape (batch, classes). "
            f"Received: an array of shape {scores.shape}."
        )
    check_int("top", top, 1)
    if labels is not None and class_names is not None:
        raise ValueError("Expected `labels` or `class_names`, which mean the same. Received both.")
    count = scores.shape[1]
    labels = class_names if labels is None else labels
    if labels is None:
        keys, names = zip(*imagenet_classes(count), strict=True)
    else:
        keys, names = range(count), check_labels(labels, count)
    return [
        [(keys[column], names[column], float(row[column])) for column in best_columns(row, top)]
        for row in scores
    ]


def best_columns(scores: np.ndarray, top: int) -> np.ndarray:
    """Returns the places of the highest of `(classes,)` scores, best first, equal ones in order.

    It does not sort the others, of which there may be many.
    """
    if top < len(scores):
        candidates = np.flatnonzero(~(scores < _reached(scores, top)))
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top]


def _reached(scores: np.ndarray, top: int) -> Any:
    """Returns a number that at least `top` scores reach, and few more; NaN where too few do.

    Of many scores it is the `top`-th of the best of each part.
    """
    parts = max(_PARTS, top)
    if len(scores) > 4 * parts:
        whole = len(scores) // parts * parts
        scores = np.fmax.reduce(scores[:whole].reshape(-1, parts))
    return -np.partition(-scores, top - 1)[top - 1]


def _to_numpy(values: Any) -> np.ndarray:
    if not isinstance(values, (np.ndarray, list, tuple)):
        from keras import ops

        values = ops.convert_to_numpy(values)
    values = np.asarray(values)
    return values if values.dtype == np.float32 else values.astype("float64", copy=False)
