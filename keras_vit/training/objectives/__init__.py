"""What a run teaches a model, each objective one object that `train` takes."""

from keras_vit.training.objectives.classification import Classification
from keras_vit.training.objectives.distillation import Distillation
from keras_vit.training.objectives.masked_autoencoder import MaskedAutoencoder
from keras_vit.training.objectives.objective import Figure, Objective
from keras_vit.training.objectives.regression import Regression
from keras_vit.training.objectives.several_labels import Labels

__all__ = [
    "OF_TASKS",
    "Classification",
    "Distillation",
    "Figure",
    "Labels",
    "MaskedAutoencoder",
    "Objective",
    "Regression",
]

OF_TASKS = {
    "classes": Classification,
    "labels": Labels,
    "binary": Labels,
    "regression": Regression,
}
"""What is learned of a data set by default, by its task."""
