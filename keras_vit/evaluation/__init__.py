"""How good a model is: accuracy, calibration, the worth of its features; simple methods beside."""

from __future__ import annotations

from keras_vit.evaluation.accuracy import (
    Evaluation,
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    score,
)
from keras_vit.evaluation.features import Features, extract_features, feature_model
from keras_vit.evaluation.few_shot import few_shot, fit_regression
from keras_vit.evaluation.linear_probe import linear_probe
from keras_vit.evaluation.neighbours import nearest_neighbours
from keras_vit.evaluation.plots import plot_confusion_matrix
from keras_vit.evaluation.probes import Probes, probe
from keras_vit.evaluation.yardsticks import pixel_yardsticks

__all__ = [
    "Evaluation",
    "Features",
    "Probes",
    "confusion_matrix",
    "evaluate",
    "expected_calibration_error",
    "extract_features",
    "feature_model",
    "few_shot",
    "fit_regression",
    "linear_probe",
    "nearest_neighbours",
    "pixel_yardsticks",
    "plot_confusion_matrix",
    "probe",
    "score",
]
