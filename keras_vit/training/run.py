"""One run in its parts: the plan, what fits it, the fit, and what is written at the end."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.data.pipeline import training_batches
from keras_vit.files import replacing, write_json
from keras_vit.training.callbacks import (
    HELD_OUT,
    AveragedWeights,
    EpochEnds,
    History,
    StopOnBrokenLoss,
)
from keras_vit.training.curves import plot_curves
from keras_vit.training.interruption import Interruption
from keras_vit.training.optimizers import make_schedule
from keras_vit.training.progress import SILENT, Progress
from keras_vit.training.recipes import Recipe
from keras_vit.training.resuming import EarlierRun, versions
from keras_vit.training.saving import SaveCheckpoints
from keras_vit.training.state import Checkpoint, Checkpoints
from keras_vit.training.strategies import Cluster
from keras_vit.training.summary import summarize
from keras_vit.training.tensorboard import TensorBoardLog
from keras_vit.training.trainer import compile_trainer


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run left behind.

    Attributes:
        summary: what `summary.json` holds.
        history: the lines of `history.jsonl`, one an epoch.
        files: paths by name: `model`, `summary`, `history`, `curves`, `tensorboard`,
            `checkpoints`.
    """

    summary: dict[str, Any]
    history: list[dict[str, Any]]
    files: dict[str, Path]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers that follow from the recipe and the size of the training split.

    Attributes:
        batch_size: images a step.
        steps_an_epoch: of a whole epoch; the last one may be shorter.
        total_steps: of the run.
    """

    batch_size: int
    steps_an_epoch: int
    total_steps: int

    @classmethod
    def of(cls, recipe: Recipe, data: ImageDataset) -> Plan:
        """Makes the plan of a recipe for a data set."""
        images = data.split("train").num_examples
        total_steps = recipe.total_steps(images)
        steps_an_epoch = min(total_steps, recipe.steps_an_epoch(images))
        return cls(recipe.batch_of(images), steps_an_epoch, total_steps)

    @property
    def epochs(self) -> int:
        """Epochs of the run, a last short one included."""
        return math.ceil(self.total_steps / self.steps_an_epoch)


class Run:
    """One call of `train`: what it is made of; then `prepare`, `fit`, `finish`.

    Args:
        recipe: how.
        model: a classifier that was checked.
        data: what it learns.
        plan: of the two.
        cluster: of the model's strategy.
        earlier: what the folder holds of the run.
        wanted: the identity of the run.
        output_dir: its folder.
        verbose: as in `train`, and not None.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: keras.Model,
        data: ImageDataset,
        *,
        plan: Plan,
        cluster: Cluster,
        earlier: EarlierRun,
        wanted: dict[str, Any],
        output_dir: Path,
        verbose: int,
    ):
        self.recipe, self.model, self.data = recipe, model, data
        self.plan, self.cluster, self.verbose = plan, cluster, verbose
        self.resumed, self.earlier_summary = earlier.checkpoint, earlier.summary
        self.start_step = self.resumed.step if self.resumed else 0
        self.record = _record(self.resumed, wanted)
        self.files = _files(output_dir, self.record["tensorboard"])
        self.trainer = compile_trainer(recipe, model, plan.total_steps)
        self.interruption = Interruption()
        common = {"batch_size": plan.batch_size, "num_classes": data.num_classes}
        self._stream = {**common, "seed": recipe.seed, "augmentation": recipe.augmentation}
        self.batches = cluster.training_batches(
            data.split("train"), model.preprocessing, start_step=self.start_step, **self._stream
        )
        self.watched = data.watched and cluster.evaluation_batches(
            data.split(data.watched), model.preprocessing, **common
        )

    def prepare(
        self,
        checkpoints: Checkpoints,
        checkpoint_every: int | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Makes the callbacks, in the order they act, and brings back the saved weights."""
        plan, start_step = self.plan, self.start_step
        rate = make_schedule(self.recipe, plan.total_steps)
        self.history = History(
            self.files["history"],
            plan.batch_size,
            plan.steps_an_epoch,
            start_step,
            lines=self.resumed.record["history"] if self.resumed else (),
            seconds=self.resumed.record["seconds"] if self.resumed else 0.0,
        )
        self.log = TensorBoardLog(self.files["tensorboard"], plan.steps_an_epoch, rate, start_step)
        progress = Progress(
            plan.batch_size,
            plan.steps_an_epoch,
            plan.total_steps,
            rate,
            start_step=start_step,
            verbose=self.verbose,
        )
        averaged = AveragedWeights()
        self.saver = SaveCheckpoints(
            checkpoints,
            steps_an_epoch=plan.steps_an_epoch,
            total_steps=plan.total_steps,
            every=checkpoint_every,
            history=self.history,
            averaged=averaged,
            interruption=self.interruption,
            cluster=self.cluster,
            record=self.record,
            resumed=self.resumed,
        )
        self.callbacks = [
            StopOnBrokenLoss(plan.steps_an_epoch, start_step),
            EpochEnds(plan.steps_an_epoch, plan.total_steps, start_step),
            self.history,
            self.log,
            *([progress] if self.verbose != SILENT else []),
            *callbacks,
            self.saver,
            averaged,
        ]
        if self.resumed:
            self.saver.restore_weights(self.trainer)

    def fit(self) -> None:
        """Trains what is left to train, and puts the moving average, if any, into the model."""
        plan, resumed = self.plan, self.resumed
        try:
            with self.interruption, self.cluster.watching(self.saver.checkpoints.folder):
                if resumed is None:
                    self._show_images()
                elif resumed.record["epoch_logs"] is not None:
                    self._end_epoch(resumed.record["epoch"], resumed.record["epoch_logs"])
                else:  # makes the variables of the metrics, which then get their saved values
                    self.trainer.evaluate(self.batches, steps=1, verbose=0)
                if self.start_step < plan.total_steps:
                    self.trainer.fit(
                        self.batches,
                        initial_epoch=self.start_step // plan.steps_an_epoch,
                        epochs=plan.epochs,
                        steps_per_epoch=plan.steps_an_epoch,
                        validation_data=self.watched,
                        shuffle=False,  # the pipeline has done it
                        callbacks=self.callbacks,
                        verbose=0,  # `Progress` prints
                    )
        finally:
            self.log.close()
        self._average()

    def _show_images(self) -> None:
        """Writes the images of the first step to the log, in the process that keeps one."""
        if not self.cluster.is_chief:
            return
        batches = training_batches(
            self.data.split("train"), self.model.preprocessing, **self._stream
        )
        self.log.write_images(next(iter(batches))[0], self.model.preprocessing)

    def _end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Does what `fit` does after the last step of an epoch."""
        callbacks = keras.callbacks.CallbackList(
            self.callbacks, model=self.trainer, epochs=self.plan.epochs, steps=0
        )
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(epoch)
        logs = dict(logs)
        if self.watched is not None:
            held_out = self.trainer.evaluate(
                self.watched, callbacks=callbacks, return_dict=True, verbose=0
            )
            logs |= {HELD_OUT + name: value for name, value in held_out.items()}
        callbacks.on_epoch_end(epoch, logs)
        callbacks.on_train_end(logs)

    def earlier_result(self) -> TrainingResult:
        """Returns the result of a run that is finished, and puts its weights into the model."""
        self._average()
        path, history = self.files["history"], self.history.lines
        if path.exists():  # the checkpoint of the last step does not have the last line
            lines = path.read_text(encoding="utf-8").splitlines()
            history = [json.loads(line) for line in lines]
        return TrainingResult(self.earlier_summary, history, self.files)

    def _average(self) -> None:
        """Puts the moving average, if there is one, into the model; `fit` does it too."""
        self.trainer.optimizer.finalize_variable_values(self.trainer.trainable_variables)

    def finish(self) -> TrainingResult:
        """Evaluates the trained model and writes what remains of the run."""
        seconds, history, final = self.history.seconds, self.history.lines, {}
        if self.watched is not None:
            final = self.trainer.evaluate(self.watched, return_dict=True, verbose=0)
        if self.cluster.is_chief:
            with replacing(self.files["model"]) as path:
                self.model.save(path)
        plot_curves(history, self.files["curves"], watched=self.data.watched or "held out")
        summary = summarize(
            self.recipe,
            self.model,
            self.data,
            history=history,
            final=final,
            record=self.record,
            seconds=seconds,
        )
        write_json(self.files["summary"], summary)
        return TrainingResult(summary, history, self.files)


def _record(resumed: Checkpoint | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """Returns what every checkpoint of the run says."""
    if resumed is None:
        return {
            "run_id": uuid.uuid4().hex,
            "identity": wanted,
            "tensorboard": time.strftime("tensorboard/%Y%m%d-%H%M%S"),
            "resumed_at_steps": [],
            "versions": versions(),
        }
    kept = {name: resumed.record[name] for name in ("run_id", "identity", "tensorboard")}
    steps = [*resumed.record["resumed_at_steps"], resumed.step]
    return {**kept, "resumed_at_steps": steps, "versions": versions()}


def _files(folder: Path, tensorboard: str) -> dict[str, Path]:
    names = {"model": "model.keras", "summary": "summary.json", "history": "history.jsonl"}
    names |= {"curves": "curves.png", "tensorboard": tensorboard, "checkpoints": "checkpoints"}
    return {key: folder / name for key, name in names.items()}
