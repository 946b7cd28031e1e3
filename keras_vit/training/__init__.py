"""Training: a recipe, a model and a data set become a trained model and its record."""

from typing import TYPE_CHECKING

from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.training import objectives
    from keras_vit.training.auto import auto_recipe
    from keras_vit.training.callbacks import BrokenLossError
    from keras_vit.training.interruption import TrainingInterrupted
    from keras_vit.training.launch import train
    from keras_vit.training.layer_rates import layer_decay
    from keras_vit.training.models import SMALL_MODELS, build_model
    from keras_vit.training.precision import DtypeChoice, choose_dtype
    from keras_vit.training.recipe_table import RECIPES, get_recipe
    from keras_vit.training.recipes import Recipe
    from keras_vit.training.run import TrainingResult
    from keras_vit.training.schedules import WarmupSchedule
    from keras_vit.training.strategies import WorkerLostError, make_strategy

__all__ = [
    "RECIPES",
    "SMALL_MODELS",
    "BrokenLossError",
    "DtypeChoice",
    "Recipe",
    "TrainingInterrupted",
    "TrainingResult",
    "WarmupSchedule",
    "WorkerLostError",
    "auto_recipe",
    "build_model",
    "choose_dtype",
    "get_recipe",
    "layer_decay",
    "make_strategy",
    "objectives",
    "train",
]

__getattr__, __dir__ = on_demand(__name__)
