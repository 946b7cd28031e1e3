"""Training: a recipe, a model and a data set become a trained model and its record."""

from __future__ import annotations

from keras_vit.training.loop import TrainingResult, train
from keras_vit.training.models import SMALL_MODELS, build_model
from keras_vit.training.recipe_table import RECIPES, get_recipe
from keras_vit.training.recipes import Recipe
from keras_vit.training.schedules import WarmupSchedule

__all__ = [
    "RECIPES",
    "SMALL_MODELS",
    "Recipe",
    "TrainingResult",
    "WarmupSchedule",
    "build_model",
    "get_recipe",
    "train",
]
