"""When a run saves its state: at its steps, at the best epoch, and when a signal ends it."""

import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_int
from keras_vit.training.callbacks import (
    HELD_OUT,
    AveragedWeights,
    BrokenLossError,
    StepCallback,
)
from keras_vit.training.interruption import Interruption, TrainingInterrupted
from keras_vit.training.state import (
    Checkpoint,
    named_variables,
    restore,
    values_of,
)
from keras_vit.training.strategies import Cluster
from keras_vit.training.summary import goodness


class SaveCheckpoints(StepCallback):
    """Saves the state of a run after a step.

    A checkpoint holds all variables of the model (the random state of its layers is among them)
    and of the optimizer (with the moving average). Within an epoch it also holds the metrics so
    far; at the end of one, what they say, so that a run that was cut short while it evaluated
    evaluates again and loses nothing else.

    Comes after all callbacks that look at the same step, and before `averaged`.

    Args:
        run: a `Run`; it says where to, what it goes on from and which epoch is best.
        every: steps from one checkpoint to the next; None for the end of each epoch. The last step
            is always saved.
        averaged: has the averages in the model while it is evaluated.
        interruption: gives the signal that ends the run; one to a single worker ends all.

    Raises:
        BrokenLossError: from within `fit`, if weights are not finite; nothing is saved then.
        TrainingInterrupted: from within `fit`, after a signal.
    """

    def __init__(
        self,
        run: Any,
        *,
        every: int | None,
        averaged: AveragedWeights,
        interruption: Interruption,
    ):
        if every is not None:
            check_int("checkpoint_every", every, 1)
        super().__init__(run.plan)
        self.run, self.every = run, every
        self._averaged, self._interruption = averaged, interruption
        self._resumed, self._saved_step = run.resumed, run.plan.start_step
        self._epoch, self._epoch_logs = 0, None
        self._best_by = run.task.objective.best_by
        lines = run.history.lines
        self._best = max((goodness(line, self._best_by) for line in lines), default=-math.inf)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Brings back the metrics of an epoch that was cut short; `fit` has just cleared them."""
        super().on_epoch_begin(epoch, logs)
        self._epoch, self._epoch_logs = epoch, None
        if self._resumed is None:
            return
        self._epoch_logs = self._resumed.record["epoch_logs"]
        if self._epoch_logs is None:
            kept = _without_metrics(self._resumed.arrays)
            metrics = {k: v for k, v in self._resumed.arrays.items() if k not in kept}
            restore(_metrics(self.model), metrics)
        self._resumed = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves where it is time to, and obeys a signal."""
        super().on_train_batch_end(batch, logs)
        is_last = self.step >= self.plan.total_steps
        ends_epoch = is_last or self.step % self.plan.steps_an_epoch == 0
        self._epoch_logs = _plain(logs) if ends_epoch else None
        if is_last or (ends_epoch if self.every is None else self.step % self.every == 0):
            self.save()
        self._obey()

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._obey()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps the best epoch, and the last one of a run that a callback ends."""
        if self._epoch_logs is None:  # a callback ended the epoch
            self._epoch_logs = _plain(logs)
        figure = goodness(logs or {}, self._best_by)
        if figure > self._best:
            self._best = figure
            self.save()
            if self.run.cluster.is_chief:
                self.run.checkpoints.keep_best(self.step)
        elif self.model.stop_training:
            self.save()
        self._obey()

    def save(self) -> Path | None:
        """Saves the state after the last step, unless that is done.

        Returns:
            The file, or None if no step was done.

        Raises:
            BrokenLossError: weights that are not finite.
            OSError: the file could not be written.
        """
        if self.step == self._saved_step:
            return self.run.checkpoints.path(self.step) if self.step else None
        _check_finite(self.model, self.step)
        variables = _state(self.model)
        if self._epoch_logs is None:
            variables |= _metrics(self.model)
        arrays = values_of(variables)  # all workers take part in reading the metrics
        self._saved_step = self.step
        if not self.run.cluster.is_chief:
            return self.run.checkpoints.path(self.step)
        record = {
            **self.run.record,
            "epoch": self._epoch,
            "epoch_logs": self._epoch_logs,
            "history": [line for line in self.run.history.lines if line["step"] < self.step],
            "seconds": self.run.history.seconds,
        }
        return self.run.checkpoints.save(self.step, arrays, record)

    def _obey(self) -> None:
        received = self._interruption.received or 0
        if self.run.cluster.total(received):
            self._averaged.put_back()
            raise TrainingInterrupted(received or signal.SIGTERM, self.step, self.save())


def restore_weights(trainer: keras.Model, checkpoint: Checkpoint, cluster: Cluster) -> None:
    """Gives a compiled model and its optimizer the values of a run, or changes nothing.

    Raises:
        ValueError: lists what does not fit.
    """
    with cluster.strategy.scope():
        trainer.optimizer.build(trainer.trainable_variables)
    restore(_state(trainer), _without_metrics(checkpoint.arrays))


def _state(trainer: keras.Model) -> dict[str, keras.Variable]:
    return named_variables(model=trainer.variables, optimizer=trainer.optimizer.variables)


def _metrics(trainer: keras.Model) -> dict[str, keras.Variable]:
    return named_variables(metrics=trainer.metrics_variables)


def _without_metrics(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if not name.startswith("metrics/")}


def _plain(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns what was measured in training, as JSON can hold it."""
    added = ("learning_rate", "images_per_second")
    return {
        name: float(value)
        for name, value in (logs or {}).items()
        if not name.startswith(HELD_OUT) and name not in added
    }


def _check_finite(trainer: keras.Model, step: int) -> None:
    for variable in trainer.trainable_variables:
        if not np.isfinite(variable.numpy()).all():
            raise BrokenLossError(
                f"Expected finite weights. Received: NaN or infinity in {variable.path!r} after "
                f"step {step}. No checkpoint is made of them. Lower the learning rate, lengthen "
                "the warm-up or set clip_norm."
            )
