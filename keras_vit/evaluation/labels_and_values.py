"""How well a model tells the labels of images, of which each has any, or their values."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.tables import align

THRESHOLD = 0.5
_SMALLEST = 1e-12  # probability whose logarithm is taken


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What both kinds share: figures of all, a row each, and how they are shown."""

    num_examples: int
    class_names: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def table(self) -> str:
        """Returns the rows as aligned text."""
        first, *others = self.rows[0]
        cells = [(first, *(name.replace("_", " ") for name in others))]
        cells += [
            (str(row[first]), *(_text(name, row[name]) for name in others)) for row in self.rows
        ]
        return "\n".join(align(cells))

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values that JSON can hold."""
        values = {name: v for name, v in vars(self).items() if name not in ("rows", "class_names")}
        return {**values, "rows": list(self.rows)}


def _text(name: str, value: Any) -> str:
    if value is None or isinstance(value, int):
        return "-" if value is None else str(value)
    return f"{100 * value:.1f}" if name in LabelsEvaluation.SHARES else f"{value:.4g}"


@dataclasses.dataclass(frozen=True)
class LabelsEvaluation(_Measured):
    """What was measured of labels.

    Attributes:
        num_examples: images.
        class_names: name of each label.
        rows: of each label `label`, `images` that have it, `error`, the share of images of which
            the model is wrong at a probability of 0.5, and, 0 to 1, `average_precision` and
            `roc_auc`, None where no image has the label or all have it.
        mean_average_precision: over the labels, of those that some images have and some have not.
        roc_auc: likewise, the mean area under the ROC curve.
        error: share of all labels of all images of which the model is wrong.
        loss: mean binary cross-entropy in nats.
        images_per_second: as of `Evaluation`.
    """

    SHARES = ("error", "average_precision", "roc_auc")

    mean_average_precision: float | None
    roc_auc: float | None
    error: float
    loss: float
    images_per_second: float | None = None

    def headline(self) -> list[tuple[str, str]]:
        """Returns the figures of all labels by title, as text."""
        shares = {
            "Mean average precision": self.mean_average_precision,
            "ROC AUC": self.roc_auc,
            "Error": self.error,
        }
        told = [(n, "-" if v is None else f"{100 * v:.2f} %") for n, v in shares.items()]
        return [*told, ("Loss", f"{self.loss:.4f} nats")]


@dataclasses.dataclass(frozen=True)
class ValuesEvaluation(_Measured):
    """What was measured of a regression.

    Attributes:
        num_examples: images.
        class_names: name of each value.
        rows: of each value `value`, `mae`, `rmse`, both in its unit, and `r2`; None where all
            images have the same.
        mae: mean absolute error, a mean over the values.
        rmse: root of the mean squared error, likewise.
        r2: coefficient of determination, likewise.
        images_per_second: as of `Evaluation`.
    """

    mae: float
    rmse: float
    r2: float | None
    images_per_second: float | None = None

    def headline(self) -> list[tuple[str, str]]:
        """Returns the figures of all values by title, as text."""
        told = {"Mean absolute error": self.mae, "Root mean squared error": self.rmse,
                "R^2": self.r2}  # fmt: skip
        return [(name, "-" if v is None else f"{v:.4g}") for name, v in told.items()]


def score_labels(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> LabelsEvaluation:
    """Compares probabilities of labels with the labels; the figures are scikit-learn's.

    Args:
        probabilities: `(examples, labels)`, each in [0, 1].
        labels: the same shape, 0 and 1.
        class_names: name of each label.

    Returns:
        Everything but the speed, which is None.

    Raises:
        ValueError: no examples, or shapes that do not belong together.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, labels = _alike(probabilities, labels, class_names)
    wrong, rows = (scores >= THRESHOLD) != (labels > 0), []
    for column, name in enumerate(class_names):
        true, told = labels[:, column] > 0, scores[:, column]
        both = true.any() and not true.all()
        rows.append({
            "label": name,
            "images": int(true.sum()),
            "error": float(wrong[:, column].mean()),
            "average_precision": float(average_precision_score(true, told)) if both else None,
            "roc_auc": float(roc_auc_score(true, told)) if both else None,
        })  # fmt: skip
    right = np.where(labels > 0, scores, 1 - scores)
    return LabelsEvaluation(
        num_examples=len(labels),
        class_names=tuple(class_names),
        rows=tuple(rows),
        mean_average_precision=_mean(rows, "average_precision"),
        roc_auc=_mean(rows, "roc_auc"),
        error=float(wrong.mean()),
        loss=float(-np.log(np.maximum(right, _SMALLEST)).mean()),
    )


def score_values(
    values: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> ValuesEvaluation:
    """Compares values with what they should be; the figures are scikit-learn's.

    Args:
        values: `(examples, values)`.
        labels: the same shape.
        class_names: name of each value.

    Returns:
        Everything but the speed, which is None.

    Raises:
        ValueError: no examples, or shapes that do not belong together.
    """
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    values, labels = _alike(values, labels, class_names)
    rows = [
        {
            "value": name,
            "mae": float(mean_absolute_error(true, told)),
            "rmse": float(root_mean_squared_error(true, told)),
            "r2": float(r2_score(true, told)) if np.ptp(true) else None,
        }
        for name, true, told in zip(class_names, labels.T, values.T, strict=True)
    ]
    figures = {name: _mean(rows, name) for name in ("mae", "rmse", "r2")}
    return ValuesEvaluation(len(labels), tuple(class_names), tuple(rows), **figures)


def _alike(told: Any, labels: Any, class_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    told, labels = np.asarray(told, "float64"), np.asarray(labels, "float64")
    shape = (len(labels), len(class_names))
    if told.shape != shape or labels.shape != shape or not len(labels):
        raise ValueError(
            f"Expected outputs and labels of shape (examples, labels) = {shape}, at least one "
            f"example. Received: {told.shape} and {labels.shape}."
        )
    return told, labels


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return float(np.mean(known)) if known else None
