"""From a classifier to the compiled model that `fit` trains."""

from __future__ import annotations

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.fitting import TrainableModel
from keras_vit.training.layer_rates import freeze, layer_decay
from keras_vit.training.optimizers import make_optimizer
from keras_vit.training.recipes import Recipe


def check_model(recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
    """Refuses a model that does not fit the data or the recipe.

    Args:
        recipe: its rates of dropout and drop path and its rematerialisation must be those of the
            model, if it has any and the model has a `config` that says them.
        model: has `preprocessing`.
        data: gives the number of classes.

    Raises:
        ValueError: what does not fit.
    """
    if getattr(model, "preprocessing", None) is None:
        raise ValueError(
            "Expected a model with `preprocessing`, a keras_vit.Preprocessing that says "
            f"how an image becomes its input. Received: {type(model).__name__} {model.name!r} "
            "without it. Set the attribute."
        )
    classes = _logits(model).shape[-1]
    if classes != data.num_classes:
        raise ValueError(
            f"Expected a model with {data.num_classes} classes, as {data.name!r} has. "
            f"Received: num_classes={classes}. Build it with classes={data.num_classes}."
        )
    config = getattr(model, "config", None)
    for name in ("dropout_rate", "drop_path_rate", "rematerialize"):
        wanted, found = getattr(recipe, name), getattr(config, name, None)
        if config is not None and wanted is not None and wanted != found:
            raise ValueError(
                f"Expected a model built with {name}={wanted}, as the recipe says. Received: "
                f"{name}={found}. Build it so, or use recipe.replace({name}=None)."
            )


def compile_trainer(recipe: Recipe, model: keras.Model, total_steps: int) -> keras.Model:
    """Returns a compiled model on the same weights whose output is the logits.

    The loss is exact on logits, and the model itself stays as it came, but for blocks that the
    recipe freezes: what it saves is the network alone.

    Args:
        recipe: gives optimizer, schedule, loss and what the step does beside.
        model: a functional model; its `logits`, a symbolic `(batch, num_classes)`, are trained,
            else its output.
        total_steps: length of the schedule.
    """
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(_logits(model))
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    if recipe.frozen_blocks:
        freeze(model, recipe.frozen_blocks)
    losses = {
        "softmax": keras.losses.CategoricalCrossentropy,
        "sigmoid": keras.losses.BinaryCrossentropy,
    }
    with model.distribute_strategy.scope():
        trainer = TrainableModel(inputs, logits, name="trainer")
        trainer.compile(
            optimizer=make_optimizer(recipe, model, total_steps),
            loss=losses[recipe.loss](from_logits=True, label_smoothing=recipe.label_smoothing),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=False,
            accumulation_steps=recipe.accumulation_steps,
            sharpness_radius=recipe.sharpness_radius,
            learning_rate_scales=(
                None if recipe.layer_decay is None else layer_decay(model, recipe.layer_decay)
            ),
        )
    return trainer


def _logits(model: keras.Model) -> keras.KerasTensor:
    logits = getattr(model, "logits", None)
    return model.outputs[0] if logits is None else logits
