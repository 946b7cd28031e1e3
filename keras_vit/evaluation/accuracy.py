"""Accuracy, calibration and the confusion matrix of a classifier on a split."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_choice
from keras_vit.data.dataset import TASKS, Split
from keras_vit.evaluation.frozen_features import outputs_of
from keras_vit.evaluation.labels_and_values import (
    LabelsEvaluation,
    ValuesEvaluation,
    score_labels,
    score_values,
)
from keras_vit.models.probability import output_meaning, probabilities
from keras_vit.tables import align

CALIBRATION_BINS = 15
# Classes up to which the confusion matrix is part of `to_dict`: beyond it has millions of zeros.
MOST_IN_MATRIX = 2_000
_ROWS = 256  # of outputs that are worked on at once


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was measured on a split.

    Attributes:
        num_examples: images.
        top1: share of images whose most probable class is the right one, 0 to 1.
        top5: share whose right class is among the five most probable; None below six classes.
        loss: mean cross-entropy in nats.
        calibration_error: see `expected_calibration_error`, 0 to 1.
        pairs: `(3, n)` counts: true class, predicted class and number of images, for each pair that
            occurs.
        class_names: name of each class.
        images_per_second: of the model alone, from the median batch after the first; None where
            there were fewer than three batches.
    """

    num_examples: int
    top1: float
    top5: float | None
    loss: float
    calibration_error: float
    pairs: np.ndarray
    class_names: tuple[str, ...]
    images_per_second: float | None = None

    @property
    def confusion(self) -> np.ndarray:
        """`(num_classes, num_classes)` counts, row true and column predicted."""
        true, predicted, images = self.pairs
        matrix = np.zeros((len(self.class_names), len(self.class_names)), np.int64)
        matrix[true, predicted] = images
        return matrix

    @property
    def balanced_accuracy(self) -> float:
        """Mean over the classes of the share of their images that were found, 0 to 1."""
        true, predicted, counts = self.pairs
        images = np.bincount(true, counts)
        found = np.bincount(true, counts * (true == predicted))
        return float((found[images > 0] / images[images > 0]).mean())

    def per_class(self) -> list[dict[str, Any]]:
        """Returns a row a class: its name, images, recall and precision.

        `recall` is the share of the class's images that were found, `precision` the share of right
        ones among the images called so; None where there are no images to share.
        """
        from sklearn.metrics import precision_recall_fscore_support

        true, predicted, counts = self.pairs
        precision, recall, _, images = precision_recall_fscore_support(
            true,
            predicted,
            labels=range(len(self.class_names)),
            sample_weight=counts,
            zero_division=np.nan,
        )
        recall, precision = (
            [None if np.isnan(share) else float(share) for share in shares]
            for shares in (recall, precision)
        )
        rows = zip(self.class_names, map(int, images), recall, precision, strict=True)
        return [
            dict(zip(("class", "images", "recall", "precision"), row, strict=True)) for row in rows
        ]

    def table(self) -> str:
        """Returns the rows of `per_class` as aligned text."""
        rows = [("class", "images", "recall", "precision")]
        for row in self.per_class():
            shares = (
                "-" if row[key] is None else f"{100 * row[key]:.1f}"
                for key in ("recall", "precision")
            )
            rows.append((row["class"], str(row["images"]), *shares))
        return "\n".join(align(rows))

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values that JSON can hold.

        The confusion matrix is there up to 2,000 classes, else `confusion_pairs`, rows of true
        class, predicted class and images.
        """
        left_out = ("pairs", "class_names")
        values = {name: value for name, value in vars(self).items() if name not in left_out}
        values["balanced_accuracy"] = self.balanced_accuracy
        values["per_class"] = self.per_class()
        if len(self.class_names) > MOST_IN_MATRIX:
            return {**values, "confusion_pairs": self.pairs.T.tolist()}
        return {**values, "confusion": self.confusion.tolist()}


def evaluate(
    model: keras.Model,
    split: Split,
    class_names: Sequence[str],
    *,
    task: str = "classes",
    batch_size: int = 64,
    verbose: int = 0,
) -> Evaluation | LabelsEvaluation | ValuesEvaluation:
    """Measures a model on a split.

    Args:
        model: a `keras_vit.VisionTransformer`, or any Keras model with `preprocessing` whose
            output is `(batch, num_classes)` probabilities or logits, as
            `keras_vit.models.probability.output_meaning` tells them apart.
        split: what to read.
        class_names: name of each class, label or value, in the order of the outputs.
        task: of the data set: `"classes"`, `"labels"`, `"binary"` or `"regression"`.
        batch_size: images a batch.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        Of classes accuracies, a table by class, the confusion matrix, calibration error and speed;
        of labels average precision, ROC AUC and error; of values errors and R^2.

    Raises:
        ValueError: the model has another number of outputs than there are classes, or is for
            another task.
    """
    num_classes = len(class_names)
    if model.output_shape[-1] != num_classes:
        raise ValueError(
            f"Expected a model with {num_classes} outputs, one a class. "
            f"Received: output shape {model.output_shape}."
        )
    check_choice("task", task, TASKS)
    meaning, is_ours = output_meaning(model), hasattr(model, "output_meaning")
    if is_ours and (meaning == "values") != (task == "regression"):
        raise ValueError(
            f"Expected a model for the task {task!r}. Received: {model.name!r}, whose outputs are "
            f"{'values' if meaning == 'values' else 'for classes or labels'}."
        )
    outputs, labels, seconds = outputs_of(
        model, split, num_classes, model.preprocessing, batch_size, verbose
    )
    if task == "regression":
        measured = score_values(outputs, labels, class_names)
    else:
        if task != "classes" and meaning == "softmax" and not is_ours:
            meaning = "sigmoid"  # plain logits of another model
        scores = keras.ops.convert_to_numpy(probabilities(outputs, meaning))
        if task == "classes":
            measured = score(scores, labels.argmax(axis=-1), class_names)
        else:
            measured = score_labels(scores, labels, class_names)
    timed = seconds[1:-1]  # the first batch builds the function, the last one may be smaller
    speed = batch_size / statistics.median(timed) if timed else None
    return dataclasses.replace(measured, images_per_second=speed)


def score(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Evaluation:
    """Compares probabilities with labels.

    Args:
        probabilities: `(examples, num_classes)`, rows that sum to 1.
        labels: `(examples,)` integers, 0 to `num_classes - 1`.
        class_names: name of each class.

    Returns:
        Everything but the speed, which is None.

    Raises:
        ValueError: no examples, or shapes that do not belong together.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    shape = (len(labels), len(class_names))
    if probabilities.shape != shape or not len(labels):
        raise ValueError(
            f"Expected probabilities of shape (examples, classes) = {shape}, at least one example. "
            f"Received: {probabilities.shape}."
        )
    parts = [
        _ranks(probabilities[start : start + _ROWS], labels[start : start + _ROWS])
        for start in range(0, len(labels), _ROWS)
    ]
    rank, predicted, right = map(np.concatenate, zip(*parts, strict=True))
    pairs, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
    return Evaluation(
        num_examples=len(labels),
        top1=float((rank == 0).mean()),
        top5=float((rank < 5).mean()) if len(class_names) > 5 else None,
        loss=float(-np.log(np.maximum(right, 1e-12)).mean()),
        calibration_error=expected_calibration_error(probabilities, labels),
        pairs=np.concatenate([pairs, counts[np.newaxis]]).astype(np.int64),
        class_names=tuple(class_names),
    )


def _ranks(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the place of the right class, the predicted class, and the right class's probability.

    Of equal ones the first column comes first. Nothing is sorted: there may be many classes.
    """
    values, own = np.asarray(probabilities, "float64"), labels[:, np.newaxis]
    right = np.take_along_axis(values, own, axis=-1)
    values = np.where(np.isnan(values), -np.inf, values)
    found = np.take_along_axis(values, own, axis=-1)
    before = np.arange(values.shape[1]) < own
    rank = ((values > found) | ((values == found) & before)).sum(axis=-1)
    return rank, values.argmax(axis=-1), right[:, 0]


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Says how far confidence is from accuracy: 0 for a model that is right as often as it claims.

    Images are put into bins of equal width by the probability of their predicted class; the result
    is the mean gap between accuracy and mean confidence of a bin, weighted by its images.

    Args:
        probabilities: `(examples, num_classes)`.
        labels: `(examples,)` integers.
        bins: number of bins.

    Returns:
        A number in [0, 1].

    Reference: "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.
    """
    confidence = probabilities.max(axis=-1).astype("float64")
    correct = probabilities.argmax(axis=-1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
