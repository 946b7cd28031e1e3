"""How good a model is: accuracy, calibration, the worth of its features, and search by them."""

from typing import TYPE_CHECKING

from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.evaluation.accuracy import (
        Evaluation,
        evaluate,
        expected_calibration_error,
        score,
    )
    from keras_vit.evaluation.confusion_plot import plot_confusion_matrix
    from keras_vit.evaluation.few_shot_regression import few_shot, fit_regression
    from keras_vit.evaluation.frozen_features import Features, extract_features, feature_model
    from keras_vit.evaluation.image_index import ImageIndex, index_images
    from keras_vit.evaluation.labels_and_values import (
        LabelsEvaluation,
        ValuesEvaluation,
        score_labels,
        score_values,
    )
    from keras_vit.evaluation.logistic_probe import linear_probe
    from keras_vit.evaluation.neighbours import nearest_neighbours
    from keras_vit.evaluation.pixel_baselines import score_pixel_baselines
    from keras_vit.evaluation.probes import Probes, probe

__all__ = [
    "Evaluation",
    "Features",
    "ImageIndex",
    "LabelsEvaluation",
    "Probes",
    "ValuesEvaluation",
    "evaluate",
    "expected_calibration_error",
    "extract_features",
    "feature_model",
    "few_shot",
    "fit_regression",
    "index_images",
    "linear_probe",
    "nearest_neighbours",
    "score_pixel_baselines",
    "plot_confusion_matrix",
    "probe",
    "score",
    "score_labels",
    "score_values",
]

__getattr__, __dir__ = on_demand(__name__)
