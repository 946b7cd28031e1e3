"""From a recipe to its learning rate, its optimizer and what the optimizer leaves alone."""

import keras

from keras_vit.fitting.keras_internals import moving_averages
from keras_vit.models.parts import decays
from keras_vit.training.recipes import Recipe
from keras_vit.training.schedules import WarmupSchedule


def make_schedule(recipe: Recipe, total_steps: int) -> WarmupSchedule:
    """Makes the learning rate of a recipe over the steps of a run."""
    return WarmupSchedule(
        recipe.learning_rate,
        total_steps,
        recipe.warmup_steps(total_steps),
        recipe.decay,
        recipe.end_learning_rate,
    )


def make_optimizer(
    recipe: Recipe, model: keras.Model, total_steps: int
) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a recipe.

    Biases, norms, scales, tokens and position embeddings of the model are kept from decaying.
    """
    arguments = {
        "learning_rate": make_schedule(recipe, total_steps),
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm,
        "use_ema": recipe.ema_momentum is not None,
        "ema_momentum": recipe.ema_momentum or 0.0,
    }
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=recipe.beta_1, **arguments)
    else:
        # Keras's Adam decays as AdamW does once `weight_decay` is set, and takes None for none.
        kind = keras.optimizers.Lamb if recipe.optimizer == "lamb" else keras.optimizers.Adam
        optimizer = kind(beta_1=recipe.beta_1, beta_2=recipe.beta_2, **arguments)
    kept = [variable for variable in model.trainable_variables if not decays(variable)]
    optimizer.exclude_from_weight_decay(var_list=kept)
    return optimizer


def averages(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Returns pairs of a trained variable and its moving average; empty without averaging."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return moving_averages(optimizer) if optimizer.use_ema else []
