"""`train`: what is asked for is checked, what is there of it is found, and the run runs."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from keras_vit.data.dataset import ImageDataset
from keras_vit.files import remove_leftovers
from keras_vit.training.compiling import Compiling
from keras_vit.training.objectives import OF_TASKS, Objective
from keras_vit.training.plan import Plan
from keras_vit.training.progress import BAR, LINES, SILENT
from keras_vit.training.recipes import AUTO, Recipe
from keras_vit.training.resuming import EarlierRun, find_earlier_run, locked
from keras_vit.training.run import Run, TrainingResult
from keras_vit.training.state import Checkpoints
from keras_vit.training.strategies import Cluster
from keras_vit.training.task import Task


def train(
    recipe: Recipe,
    model: keras.Model,
    data: ImageDataset,
    *,
    output_dir: str | os.PathLike,
    objective: Objective | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | None = None,
    resume: bool = True,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 3,
    deterministic: bool = False,
) -> TrainingResult:
    """Trains a model and writes everything about the run to a folder.

    `model.keras` is written at the end, in one move, without the state of the optimizer.

    The state of the run is saved to `checkpoints/` as it goes. The same call again goes on where
    the last checkpoint is, within an epoch too, to the same numbers as a run that was never cut
    short (bit for bit with `deterministic`); a run that is finished is not trained again: its model
    and its result are returned. A run with another recipe, model, data set or objective is refused.

    SIGTERM and SIGINT (Ctrl-C) end the run after the step in hand, which is saved.

    Under a strategy (`model` was built in its scope) each replica works on its part of the same
    batches, so that the numbers stay. With several workers each one makes this call with the same
    arguments; `output_dir` is on a file system that all of them see, and the first one writes.

    Args:
        recipe: how. Of a recipe with the dtype `"auto"` that of the model is kept.
        model: a functional Keras model, with an attribute `preprocessing` (a
            `keras_vit.Preprocessing`), that fits the objective. It is changed in place, but not
            compiled.
        data: has a training split; validation, or else test, is evaluated after each epoch. The
            weights after the last step, or their moving average, are the result, unless the recipe
            says `keep="best"`; the best epoch is kept as a checkpoint and named.
        output_dir: the folder; made if needed. For one run at a time.
        objective: what is learned; None for the class of each image, or its labels or values, as
            the data set has them.
        callbacks: more Keras callbacks. Their own state is not saved.
        verbose: 0 for silence, 1 for a progress bar, 2 for lines, one an epoch and one at least
            every 30 seconds; None is a bar on a terminal, else lines.
        resume: whether to go on with the run that is in the folder; False replaces it.
        checkpoint_every: optimizer steps from one checkpoint to the next; None for one at the end
            of each epoch. The last step and the best epoch are always saved.
        keep_checkpoints: how many of the last checkpoints stay while it trains; when it is done,
            the last and the best do.
        deterministic: whether TensorFlow's operations give the same bits each time. It is turned on
            for the whole process, sets the global seeds, and can cost speed.

    Returns:
        The summary, the history and the paths of the files.

    Raises:
        ValueError: no training split, a model that does not fit the data, the recipe or the
            objective, a batch that the replicas cannot share, or another run in the folder; the
            differences are listed.
        RuntimeError: another process trains into the folder.
        WorkerLostError: another worker has stopped answering.
        BrokenLossError: the loss became NaN or infinite; no model is written, and the last
            checkpoint is from before.
        TrainingInterrupted: a signal ended the run; its state was saved.
        OSError: a file could not be written; the older checkpoints are whole.
    """
    if recipe.dtype == AUTO:
        recipe = recipe.replace(dtype=model.dtype_policy.name)
    task = Task(recipe, model, data, objective or OF_TASKS[data.task]())
    task.check()
    plan, cluster = Plan.of(recipe, data), Cluster(model)
    cluster.check_batch(plan.batch_size)
    if recipe.probe_first and cluster.num_workers > 1:
        raise ValueError(
            "Expected probe_first with one worker. Received: "
            f"{cluster.num_workers}. Train it for a step on one, and go on from its model."
        )
    if deterministic:
        keras.utils.set_random_seed(recipe.seed)
        tf.config.experimental.enable_op_determinism()
    if not cluster.is_chief:
        verbose = SILENT
    elif verbose is None:
        verbose = BAR if sys.stdout.isatty() else LINES
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(output_dir / "checkpoints", keep_last=keep_checkpoints)
    with locked(output_dir) if cluster.is_chief else contextlib.nullcontext():
        earlier = EarlierRun()
        if resume or cluster.is_chief:
            earlier = find_earlier_run(output_dir, checkpoints, task.identity(), resume=resume)
        cluster.check_start(earlier.checkpoint.step if earlier.checkpoint else 0, output_dir)
        if cluster.is_chief:
            remove_leftovers(output_dir)
        compiling = Compiling(False, "deterministic") if deterministic else None
        folder = cluster.output_dir(output_dir)
        run = Run(task, cluster, checkpoints, earlier, folder, compiling)
        if verbose != SILENT:
            print(run.describe(), flush=True)
        if earlier.summary is not None:
            return run.earlier_result()
        run.fit(callbacks, checkpoint_every, verbose)
        result = run.finish()
        if cluster.is_chief:
            checkpoints.clear(but_last=True)
    return result
