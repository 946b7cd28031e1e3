"""The training run: recipe, model and data in; a trained model, its log and its curves out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.data.pipeline import evaluation_batches, training_batches
from keras_vit.files import replacing, write_json
from keras_vit.training.callbacks import History, StopAtStep, StopOnBrokenLoss
from keras_vit.training.curves import plot_curves
from keras_vit.training.recipes import Recipe
from keras_vit.training.schedules import WarmupSchedule

NOT_DECAYED = (
    "bias", "beta", "gamma", "class_token", "distillation_token", "register_tokens", "probe",
    "position_embedding",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run left behind.

    Attributes:
        summary: what `summary.json` holds.
        history: the lines of `history.jsonl`, one an epoch.
        files: paths by name: `model`, `summary`, `history`, `curves`, `tensorboard`.
    """

    summary: dict[str, Any]
    history: list[dict[str, Any]]
    files: dict[str, Path]


def train(
    recipe: Recipe,
    model: keras.Model,
    data: ImageDataset,
    *,
    output_dir: str | os.PathLike,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | None = None,
) -> TrainingResult:
    """Trains a model and writes everything about the run to a folder.

    The loss is the cross-entropy of the model's logits. Files of an older run in the same folder
    are replaced; `model.keras` only at the end, in one move, without the state of the optimizer.

    Args:
        recipe: how.
        model: a `keras_vit.VisionTransformer` with a head for the classes of `data`; it is changed
            in place, but not compiled.
        data: has a training split; validation, or else test, is evaluated after each epoch.
            Nothing is chosen by it: the weights after the last step are the result.
        output_dir: the folder; made if needed.
        callbacks: more Keras callbacks.
        verbose: as in `keras.Model.fit`; None is a progress bar on a terminal, else a line an
            epoch.

    Returns:
        The summary, the history and the paths of the files.

    Raises:
        ValueError: no training split, or a model that does not fit the data or the recipe.
        BrokenLossError: the loss became NaN or infinite; no model is written.
    """
    split = data.split("train")
    _check_model(recipe, model, data)
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    files = _files(output_dir)
    batch_size = recipe.batch_of(split.num_examples)
    total_steps = recipe.total_steps(split.num_examples)
    steps_an_epoch = min(total_steps, recipe.steps_an_epoch(split.num_examples))
    batches = training_batches(
        split,
        model.preprocessing,
        batch_size=batch_size,
        num_classes=data.num_classes,
        seed=recipe.seed,
        augmentation=recipe.augmentation,
    )
    watched = data.watched and evaluation_batches(
        data.split(data.watched),
        model.preprocessing,
        batch_size=batch_size,
        num_classes=data.num_classes,
    )
    history = History(files["history"], batch_size)
    trainer = compile_trainer(recipe, model, total_steps)
    start = time.perf_counter()
    trainer.fit(
        batches,
        epochs=math.ceil(total_steps / steps_an_epoch),
        steps_per_epoch=steps_an_epoch,
        validation_data=watched,
        shuffle=False,  # the pipeline has done it
        callbacks=[
            StopOnBrokenLoss(),
            StopAtStep(total_steps),
            history,
            keras.callbacks.TensorBoard(str(files["tensorboard"]), write_graph=False),
            *callbacks,
        ],
        verbose=verbose if verbose is not None else (1 if sys.stdout.isatty() else 2),
    )
    seconds = time.perf_counter() - start
    final = trainer.evaluate(watched, return_dict=True, verbose=0) if watched is not None else {}
    with replacing(files["model"]) as path:
        model.save(path)
    plot_curves(history.lines, files["curves"], watched=data.watched or "held out")
    summary = _summary(recipe, model, data, history.lines, final, seconds)
    write_json(files["summary"], summary)
    return TrainingResult(summary, history.lines, files)


def compile_trainer(recipe: Recipe, model: keras.Model, total_steps: int) -> keras.Model:
    """Returns a compiled model on the same weights whose output is the logits.

    The loss is exact on logits, and the model itself stays as it came: what it saves is the network
    alone.

    Args:
        recipe: gives optimizer, schedule and loss.
        model: has `logits`, a symbolic `(batch, num_classes)`.
        total_steps: length of the schedule.
    """
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(model.logits)
    trainer = keras.Model(model.inputs, logits, name="trainer")
    trainer.compile(
        optimizer=make_optimizer(recipe, model, total_steps),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    return trainer


def make_optimizer(
    recipe: Recipe, model: keras.Model, total_steps: int
) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a recipe.

    Args:
        recipe: gives all its numbers.
        model: its biases, norms, scales, tokens and position embeddings are kept from decaying.
        total_steps: length of the schedule.
    """
    arguments = {
        "learning_rate": WarmupSchedule(
            recipe.learning_rate, total_steps, recipe.warmup_steps(total_steps), recipe.decay
        ),
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm,
        "use_ema": recipe.ema_momentum is not None,
        "ema_momentum": recipe.ema_momentum or 0.0,
    }
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=recipe.beta_1, **arguments)
    else:
        # Keras's Adam decays as AdamW does once `weight_decay` is set, and takes None for none.
        optimizer = keras.optimizers.Adam(beta_1=recipe.beta_1, beta_2=recipe.beta_2, **arguments)
    kept = [variable for variable in model.trainable_variables if not decays(variable)]
    optimizer.exclude_from_weight_decay(var_list=kept)
    return optimizer


def decays(variable: keras.Variable) -> bool:
    """Says whether weight decay acts on a variable: on kernels, by the last part of the path."""
    return variable.path.rpartition("/")[2] not in NOT_DECAYED


def _files(folder: Path) -> dict[str, Path]:
    names = {"model": "model.keras", "summary": "summary.json", "history": "history.jsonl"}
    names |= {"curves": "curves.png", "tensorboard": time.strftime("tensorboard/%Y%m%d-%H%M%S")}
    return {key: folder / name for key, name in names.items()}


def _check_model(recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
    classes = model.config.num_classes
    if classes != data.num_classes:
        raise ValueError(
            f"Expected a model with {data.num_classes} classes, as {data.name!r} has. "
            f"Received: num_classes={classes}. Build it with classes={data.num_classes}."
        )
    for name in ("dropout_rate", "drop_path_rate"):
        wanted, found = getattr(recipe, name), getattr(model.config, name)
        if wanted is not None and wanted != found:
            raise ValueError(
                f"Expected a model built with {name}={wanted}, as the recipe says. Received: "
                f"{name}={found}. Build it so, or use recipe.replace({name}=None)."
            )


def _summary(recipe, model, data, history, final, seconds) -> dict[str, Any]:
    speeds = [line["images_per_second"] for line in history if "images_per_second" in line]
    return {
        "dataset": data.name,
        "class_names": list(data.class_names),
        "images": {role: split.num_examples for role, split in data.splits.items()},
        "watched_split": data.watched,
        **{f"{data.watched}_{name}": float(value) for name, value in final.items()},
        "training_loss": history[-1]["loss"],
        "training_accuracy": history[-1]["accuracy"],
        "steps": history[-1]["step"],
        "seconds": round(seconds, 2),
        "images_per_second": round(statistics.median(speeds), 1) if speeds else None,
        "parameters": model.count_params(),
        "model": model.config.to_dict(),
        "preprocessing": model.preprocessing.to_dict(),
        "recipe": recipe.to_dict(),
        "versions": {
            name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")
        },
    }
