"""One run: what it is made of, the fit, and what is written at the end."""

import dataclasses
import json
import math
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.pipeline import evaluation_batches, training_batches
from keras_vit.files import replacing, write_json
from keras_vit.training.callbacks import (
    HELD_OUT,
    AveragedWeights,
    EpochEnds,
    History,
    StopOnBrokenLoss,
)
from keras_vit.training.compiling import Compiling, compile_step
from keras_vit.training.curves import plot_curves
from keras_vit.training.interruption import Interruption
from keras_vit.training.optimizers import make_schedule
from keras_vit.training.plan import Plan
from keras_vit.training.probe_first import fit_head
from keras_vit.training.progress import SILENT, Progress
from keras_vit.training.resuming import EarlierRun
from keras_vit.training.saving import SaveCheckpoints, restore_weights
from keras_vit.training.state import BEST, Checkpoint, Checkpoints, read
from keras_vit.training.strategies import Cluster
from keras_vit.training.summary import summarize, versions
from keras_vit.training.task import Task
from keras_vit.training.tensorboard import TensorBoardLog, save_pictures
from keras_vit.weights.adapter_files import save_adapter

_MAX_DRAWN = 8


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run left behind.

    Attributes:
        summary: what `summary.json` holds.
        history: the lines of `history.jsonl`, one an epoch.
        files: paths by name: `model`, `summary`, `history`, `curves`, `tensorboard`,
            `checkpoints`, `adapter` where there is one, and those of the objective.
    """

    summary: dict[str, Any]
    history: list[dict[str, Any]]
    files: dict[str, Path]


class Run:
    """One call of `train`, ready to go on from where an earlier one stopped.

    The weights of that one go into the model; in `folder` this process writes. `compiling` is how
    the step of a new run is compiled; None lets a race tell.
    """

    def __init__(
        self,
        task: Task,
        cluster: Cluster,
        checkpoints: Checkpoints,
        earlier: EarlierRun,
        folder: Path,
        compiling: Compiling | None = None,
    ):
        self.task, self.cluster, self.checkpoints = task, cluster, checkpoints
        self.resumed, self.earlier_summary = earlier.checkpoint, earlier.summary
        plan = Plan.of(task.recipe, task.data)
        start = self.resumed.step if self.resumed else 0
        self.plan = dataclasses.replace(plan, start_step=start)
        self.record = _record(self.resumed, task.identity(), compiling)
        self.files = _files(folder, self.record["tensorboard"])
        if task.recipe.lora_rank is not None:
            self.files["adapter"] = folder / "adapter"
        self.network = task.compile(plan.total_steps)
        if self.resumed:
            restore_weights(self.network, self.resumed, cluster)
        preprocessing = task.model.preprocessing
        self._targets = task.objective.targets(task.model, task.data)
        common = {"batch_size": plan.batch_size, "targets": self._targets}
        self._stream = {
            **common,
            "seed": task.recipe.seed,
            "augmentation": task.recipe.augmentation,
        }
        self.batches = cluster.training_batches(
            task.data.split("train"),
            preprocessing,
            start_step=self.plan.start_step,
            **self._stream,
        )
        record = self.resumed.record if self.resumed else {"history": (), "seconds": 0.0}
        self.history = History(
            self.files["history"], self.plan, lines=record["history"], seconds=record["seconds"]
        )
        self._draws = task.objective.shows_outputs and cluster.is_chief
        self._sample: Any = None
        self.watched = task.data.watched and cluster.evaluation_batches(
            task.data.split(task.data.watched), preprocessing, keep=True, **common
        )

    def describe(self) -> str:
        """Says what is about to happen, in a line."""
        plan, data = self.plan, self.task.data
        if self.earlier_summary is not None:
            return (
                f"This run is finished; its weights are those of {self.resumed.path}. --noresume "
                "trains it anew."
            )
        if self.resumed is not None:
            return (
                f"Going on after step {plan.start_step:,} of {plan.total_steps:,}, from "
                f"{self.resumed.path}."
            )
        trained = sum(math.prod(variable.shape) for variable in self.network.trainable_variables)
        total = self.network.count_params()
        return (
            f"Training {trained:,} of {total:,} parameters ({100 * trained / total:.3g} %) on "
            f"{data.split('train').num_examples:,} images for {plan.total_steps:,} steps of "
            f"{plan.batch_size} images, {plan.epochs:,} epoch{'s' * (plan.epochs != 1)}. "
            "The first step compiles."
        )

    def fit(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        checkpoint_every: int | None,
        verbose: int,
    ) -> None:
        """Trains what is left to train, and puts the weights to keep into the model."""
        plan, resumed, interruption = self.plan, self.resumed, Interruption()
        rate = make_schedule(self.task.recipe, plan.total_steps)
        log = TensorBoardLog(self.files["tensorboard"], plan, rate, self.task.model.preprocessing)
        callbacks = self._callbacks(log, interruption, callbacks, checkpoint_every)
        if verbose != SILENT:
            callbacks.insert(callbacks.index(log), Progress(plan, rate, verbose=verbose))
        try:
            with interruption, self.cluster.watching(self.checkpoints.folder):
                if resumed is None:
                    self._begin_with_probe(verbose)
                    self._draw_inputs(log)
                elif resumed.record["epoch_logs"] is not None:
                    self._end_epoch(callbacks)
                else:  # makes the variables of the metrics, which then get their saved values
                    self.network.evaluate(self.batches, steps=1, verbose=0)
                if plan.start_step < plan.total_steps:
                    left = plan.total_steps - plan.start_step
                    compile_step(self.network, self.batches, left, self.record, verbose != SILENT)
                    self.network.fit(
                        self.batches,
                        initial_epoch=plan.start_step // plan.steps_an_epoch,
                        epochs=plan.epochs,
                        steps_per_epoch=plan.steps_an_epoch,
                        validation_data=self.watched,
                        shuffle=False,  # the pipeline has done it
                        callbacks=callbacks,
                        verbose=0,  # `Progress` prints
                    )
        finally:
            log.close()
        self._keep()

    def _callbacks(
        self,
        log: TensorBoardLog,
        interruption: Interruption,
        callbacks: Sequence[keras.callbacks.Callback],
        checkpoint_every: int | None,
    ) -> list[keras.callbacks.Callback]:
        """Makes the callbacks, in the order in which they act."""
        averaged = AveragedWeights()
        saver = SaveCheckpoints(
            self, every=checkpoint_every, averaged=averaged, interruption=interruption
        )
        drawing = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: log.write_pictures(self._drawn())
        )
        return [
            StopOnBrokenLoss(self.plan),
            EpochEnds(self.plan),
            self.history,
            log,
            *([drawing] if self._draws else []),
            *callbacks,
            saver,
            averaged,
        ]

    def _begin_with_probe(self, verbose: int) -> None:
        """Fits the head to the features that the model starts with, where the recipe says so."""
        if not self.task.recipe.probe_first:
            return
        sizes = {"batch_size": self.plan.batch_size, "seed": self.task.recipe.seed}
        probe = fit_head(self.task.model, self.task.data, **sizes, verbose=verbose != SILENT)
        if verbose != SILENT:
            print(f"The head begins as a linear probe: {probe}.", flush=True)

    def _draw_inputs(self, log: TensorBoardLog) -> None:
        """Writes the images of the first step to the log, in the process that keeps one."""
        if not self.cluster.is_chief:
            return
        batches, task = self.batches, self.task
        if self.cluster.strategy.num_replicas_in_sync > 1:  # of which `batches` gives parts
            split = task.data.split("train")
            batches = training_batches(split, task.model.preprocessing, **self._stream)
        log.write_pictures(task.objective.input_pictures(next(iter(batches))))

    def _drawn(self) -> dict[str, np.ndarray]:
        """Returns what the objective shows of a few images that are held out, where some are."""
        task = self.task
        if self._sample is None:
            batches = evaluation_batches(
                task.data.split(task.data.watched or "train"),
                task.model.preprocessing,
                batch_size=_MAX_DRAWN,
                targets=self._targets,
            )
            self._sample = next(iter(batches))
        return task.objective.output_pictures(self.network, self._sample)

    def _end_epoch(self, callbacks: list[keras.callbacks.Callback]) -> None:
        """Does what `fit` does after the last step of an epoch."""
        record = self.resumed.record
        callbacks = keras.callbacks.CallbackList(
            callbacks, model=self.network, epochs=self.plan.epochs, steps=0
        )
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(record["epoch"])
        logs = dict(record["epoch_logs"])
        if self.watched is not None:
            held_out = self.network.evaluate(
                self.watched, callbacks=callbacks, return_dict=True, verbose=0
            )
            logs |= {HELD_OUT + name: value for name, value in held_out.items()}
        callbacks.on_epoch_end(record["epoch"], logs)
        callbacks.on_train_end(logs)

    def _keep(self) -> None:
        """Puts the weights that the run ends with into the model, averaged where they are."""
        best = self.checkpoints.folder / BEST
        if self.task.recipe.keep == "best" and self.watched is not None:
            self.cluster.total(0)  # the chief has written it when all are here
            restore_weights(self.network, read(best), self.cluster)
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)

    def earlier_result(self) -> TrainingResult:
        """Returns the result of a run that is finished, and puts its weights into the model."""
        self._keep()
        history, path = self.resumed.record["history"], self.files["history"]
        if path.exists():  # the checkpoint of the last step does not have the last line
            lines = path.read_text(encoding="utf-8").splitlines()
            history = [json.loads(line) for line in lines]
        return TrainingResult(self.earlier_summary, history, self.files)

    def finish(self) -> TrainingResult:
        """Evaluates the trained model and writes what remains of the run."""
        task, history, final = self.task, self.history.lines, {}
        seconds = self.history.seconds
        if self.watched is not None:
            final = self.network.evaluate(self.watched, return_dict=True, verbose=0)
        if self.cluster.is_chief:
            with replacing(self.files["model"]) as path:
                task.model.save(path)
            if "adapter" in self.files:
                save_adapter(task.model, self.files["adapter"])
            self.files |= task.objective.save(self.network, self.files["model"].parent)
        if self._draws:
            self.files["pictures"] = self.files["model"].with_name("pictures.png")
            pictures = self._drawn()
            save_pictures(pictures, task.model.preprocessing, self.files["pictures"])
        watched = task.data.watched or "held out"
        plot_curves(history, self.files["curves"], task.objective.figures, watched=watched)
        summary = summarize(task, history=history, final=final, record=self.record, seconds=seconds)
        write_json(self.files["summary"], summary)
        return TrainingResult(summary, history, self.files)


def _record(
    resumed: Checkpoint | None, identity: dict[str, Any], compiling: Compiling | None
) -> dict[str, Any]:
    """Returns what every checkpoint of the run says."""
    if resumed is None:
        return {
            "run_id": uuid.uuid4().hex,
            "identity": identity,
            "tensorboard": time.strftime("tensorboard/%Y%m%d-%H%M%S"),
            "resumed_at_steps": [],
            "compiling": compiling and compiling.to_dict(),
            "versions": versions(),
        }
    kept = {name: resumed.record[name] for name in ("run_id", "identity", "tensorboard")}
    steps = [*resumed.record["resumed_at_steps"], resumed.step]
    kept["compiling"] = resumed.record.get("compiling")
    return {**kept, "resumed_at_steps": steps, "versions": versions()}


def _files(folder: Path, tensorboard: str) -> dict[str, Path]:
    names = {"model": "model.keras", "summary": "summary.json", "history": "history.jsonl"}
    names |= {"curves": "curves.png", "tensorboard": tensorboard, "checkpoints": "checkpoints"}
    return {key: folder / name for key, name in names.items()}
