"""How good a model is: accuracy and calibration, beside simple methods on the same split."""

from __future__ import annotations

from keras_vit.evaluation.accuracy import (
    Evaluation,
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    score,
)
from keras_vit.evaluation.plots import plot_confusion_matrix
from keras_vit.evaluation.yardsticks import pixel_yardsticks

__all__ = [
    "Evaluation",
    "confusion_matrix",
    "evaluate",
    "expected_calibration_error",
    "pixel_yardsticks",
    "plot_confusion_matrix",
    "score",
]
