"""What surrounds the step of a small model: `train`, Keras's `fit`, `predict` of one image."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import keras
import numpy as np

from benchmarks.fit_overhead import Pauses
from benchmarks.small_images import processor_ms
from keras_vit.benchmark.machine import describe_machine
from keras_vit.tables import align

STEPS_OF_A_BLOCK = 10  # bare ones, in a pause
SKIPPED = 8  # steps at the start of an epoch, which wait for the buffers of the pipeline
CALLS = 50


def measure_small(
    data_dir: str | None = None, *, epochs: int = 8, batch_size: int = 32
) -> dict[str, Any]:
    """Trains the digits model of the quick start, and pauses after each epoch for the bare step.

    A bare step is loss, gradient and AdamW's update of one batch in memory, as one compiled
    function, without metrics and pipeline; with XLA and without. `train` is the whole run:
    digits turned, moved and zoomed, loss and accuracy, progress and log. `fit` is that of a
    `keras.Model` on the same layers, its own step, on arrays in memory.

    Args:
        data_dir: where the digits are kept; None is the place of TFDS.
        epochs: of `train`; the first one warms up.
        batch_size: images a step.

    Returns:
        Seconds a step, medians over the epochs: `bare_s`, `bare_xla_s`, `train_s`, `fit_s`, and
        `pipeline_ms`, milliseconds of processor time that a batch takes by itself;
        `ratio`, the median over the epochs of `train` to the faster bare step around it; whether
        `train` chose XLA; and of one image `call_s`, the compiled call, `predict_s`,
        `predict_on_batch_s` and `keras_predict_s`.
    """
    from keras_vit.data import load
    from keras_vit.training import build_model, compiling, get_recipe, train

    data = load("digits", data_dir=data_dir)
    recipe = get_recipe("digits").replace(epochs=epochs, batch_size=batch_size)
    trained, bare, fitted = (build_model("digits", data, recipe) for _ in range(3))
    batch = next(iter(_batches(data, bare, recipe)))
    runs = {xla: _bare_step(bare, recipe, batch, xla) for xla in (False, True)}
    pauses = Pauses(
        runs,
        block=recipe.steps_an_epoch(data.split("train").num_examples),
        skipped=SKIPPED,
        bare_steps=STEPS_OF_A_BLOCK,
    )
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(compiling, "WORTH_SECONDS", 0):
        run = train(recipe, trained, data, output_dir=folder, callbacks=[pauses], verbose=0)
    bare_s, ratios = pauses.summary()
    return {
        "model": "digits",
        "parameters": trained.count_params(),
        "batch_size": batch_size,
        "machine": describe_machine(),
        "bare_s": bare_s[False],
        "bare_xla_s": bare_s[True],
        "train_s": statistics.median(map(statistics.mean, pauses.fit_s)),
        "ratio": statistics.median(ratios),
        "compiling": run.summary["compiling"],
        "fit_s": _fit_step(fitted, batch),
        "pipeline_ms": processor_ms(_batches(data, bare, recipe), 200),
        **_one_image(trained),
    }


def _batches(data: Any, model: Any, recipe: Any) -> Any:
    from keras_vit.data.pipeline import training_batches

    return training_batches(
        data.split("train"), model.preprocessing, batch_size=recipe.batch_size, seed=0,
        num_classes=data.num_classes, augmentation=recipe.augmentation,
    )  # fmt: skip


def _bare_step(model: Any, recipe: Any, batch: tuple[Any, Any], xla: bool) -> Callable[[], Any]:
    """Returns one compiled function of a whole step, which waits for its loss."""
    import tensorflow as tf

    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=recipe.weight_decay)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    images, labels = batch

    @tf.function(autograph=False, jit_compile=xla)
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        values = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, values), model.trainable_variables)
        return loss

    return lambda: float(step())


def _fit_step(model: Any, batch: tuple[Any, Any], steps: int = 44) -> float:
    """Returns the seconds of a step of Keras's own `fit` on arrays in memory."""
    plain = keras.Model(model.inputs, model.outputs)
    plain.compile("adamw", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    images, labels = (
        np.tile(part, [steps, *[1] * (part.ndim - 1)]) for part in map(np.asarray, batch)
    )
    size = len(batch[0])
    plain.fit(images, labels, batch_size=size, verbose=0)
    start = time.perf_counter()
    plain.fit(images, labels, batch_size=size, epochs=3, verbose=0)
    return (time.perf_counter() - start) / (3 * steps)


def _one_image(model: Any) -> dict[str, float]:
    import tensorflow as tf

    image = np.zeros((1, *model.input_shape[1:]), "float32")
    tensor = tf.constant(image)
    compiled = [
        tf.function(lambda: model(tensor, training=False), jit_compile=xla) for xla in (False, True)
    ]
    runs = {
        "plain": lambda: compiled[0]().numpy(),
        "xla": lambda: compiled[1]().numpy(),
        "predict_s": lambda: model.predict(image, verbose=0),
        "predict_on_batch_s": lambda: model.predict_on_batch(image),
        "keras_predict_s": lambda: keras.Model.predict(model, image, verbose=0),
    }
    seconds = in_turn(runs, CALLS)
    call = min(seconds.pop("plain"), seconds.pop("xla"))
    return {"call_s": call, **seconds}


def in_turn(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Times functions in turn.

    Args:
        runs: by name.
        repeats: of each, after two that warm up.

    Returns:
        The median seconds of each.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def format_small(result: dict[str, Any]) -> str:
    """Formats what `measure_small` returned."""
    rows = [
        ("step, batch of " + str(result["batch_size"]), "ms"),
        *((name, f"{1000 * result[key]:.2f}") for name, key in (
            ("bare, compiled", "bare_s"), ("bare, XLA", "bare_xla_s"), ("train", "train_s"),
            ("fit of keras.Model", "fit_s"), ("one image: the compiled call", "call_s"),
            ("model.predict(verbose=0)", "predict_s"),
            ("model.predict_on_batch", "predict_on_batch_s"),
            ("predict of keras.Model", "keras_predict_s"),
        )),
    ]  # fmt: skip
    rows.insert(4, ("a batch by itself, processor time", f"{result['pipeline_ms']:.2f}"))
    chosen = result["compiling"]
    text = f"train chose {'XLA' if chosen['xla'] else 'no XLA'}: {chosen['why']}"
    head = f"{result['model']}, {result['parameters']:,} parameters"
    return "\n".join([head, *align(rows), text, f"train: {result['ratio']:.2f} of the bare step"])
