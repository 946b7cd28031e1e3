"""What a run teaches a model, each objective one object that `train` takes."""

from keras_vit.training.objectives.classification import Classification
from keras_vit.training.objectives.distillation import Distillation
from keras_vit.training.objectives.masked_autoencoder import MaskedAutoencoder
from keras_vit.training.objectives.objective import Figure, Objective

__all__ = ["Classification", "Distillation", "Figure", "MaskedAutoencoder", "Objective"]
