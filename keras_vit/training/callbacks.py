"""What happens beside the training step: where epochs end, a broken loss, the average, the log."""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.files import replacing
from keras_vit.training.optimizers import averages
from keras_vit.training.plan import Plan

# How Keras names what it measures on the held-out split.
HELD_OUT = "val_"


class StepCallback(keras.callbacks.Callback):
    """Counts the optimizer steps of a run, which may have begun in an earlier process.

    Args:
        plan: of the run.

    Attributes:
        plan: of the run.
        step: steps done.
    """

    def __init__(self, plan: Plan):
        super().__init__()
        self.plan = plan
        self.step = self._step_before_epoch = plan.start_step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Finds where the epoch begins, or goes on."""
        self._step_before_epoch = max(self.plan.start_step, epoch * self.plan.steps_an_epoch)
        self.step = self._step_before_epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.step = self._step_before_epoch + batch + 1


class BrokenLossError(RuntimeError):
    """The loss, or a weight, became NaN or infinite; the message names the step."""


class StopOnBrokenLoss(StepCallback):
    """Raises at the first step whose loss is not a finite number.

    Raises:
        BrokenLossError: from within `fit`, naming the step of the run, counted from 1.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss, a mean over the steps of this epoch: it stays broken once it is."""
        super().on_train_batch_end(batch, logs)
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise BrokenLossError(
                f"Expected a finite loss. Received: loss={loss} at step {self.step}. Lower the "
                "learning rate, lengthen the warm-up or set clip_norm; if it is step 1, look for "
                "broken images or weights."
            )


class EpochEnds(StepCallback):
    """Ends epochs, and training, at the right step of the run.

    `fit` gives every epoch the same number of steps. The epoch that a resumed run goes on with has
    fewer, and so may the last one of all: here they are ended early.

    Args:
        plan: of the run; `fit` gets its `steps_an_epoch`.
    """

    def __init__(self, plan: Plan):
        super().__init__(plan)
        self._ended_early = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Breaks off the epoch where it ends; `fit` then evaluates as always."""
        super().on_train_batch_end(batch, logs)
        is_end = self.step % self.plan.steps_an_epoch == 0 or self.step >= self.plan.total_steps
        if is_end and batch + 1 < self.plan.steps_an_epoch:
            self._ended_early = True
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lets `fit` go on with the next epoch, if there is one."""
        if self._ended_early and self.step < self.plan.total_steps:
            self.model.stop_training = False
        self._ended_early = False


class AveragedWeights(keras.callbacks.Callback):
    """Evaluates the moving average of the weights, where the optimizer keeps one.

    The weights come back bit for bit. (`keras.callbacks.SwapEMAWeights` swaps by adding and
    subtracting, which rounds them.)
    """

    def __init__(self):
        super().__init__()
        self._kept: list[tuple[keras.Variable, np.ndarray]] = []

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        for variable, average in averages(self.model.optimizer):
            self._kept.append((variable, np.array(variable.numpy())))
            variable.assign(average)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self.put_back()

    def put_back(self) -> None:
        """Puts the weights back, if the averages are in the model."""
        while self._kept:
            variable, value = self._kept.pop()
            variable.assign(value)


class History(StepCallback):
    """Writes one JSON line an epoch, and adds speed and learning rate to the logs of the others.

    A line holds `epoch` and `step` (counted from 1), the figures of the objective (`loss`,
    `accuracy`; `val_loss`, `val_accuracy` where there is a split to watch), `learning_rate` after
    the epoch, `images_per_second` of the training steps of this process (without the first of an
    epoch, which may wait for a compilation or a buffer) and `seconds` of training so far.

    Args:
        path: the file; an older one is replaced.
        plan: of the run.
        lines: those of the epochs that are done.
        seconds: of training before this process.

    Attributes:
        lines: the lines so far, as dictionaries.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        plan: Plan,
        lines: Sequence[Mapping[str, Any]] = (),
        seconds: float = 0.0,
    ):
        super().__init__(plan)
        self.path = Path(path)
        self.lines: list[dict[str, Any]] = [dict(line) for line in lines]
        self._earlier_seconds = seconds
        self._start = time.perf_counter()
        self._first_end = self._last_end = 0.0
        self._timed_steps = 0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, in all processes together."""
        return self._earlier_seconds + max(0.0, time.perf_counter() - self._start)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the lines of the epochs that are done."""
        with replacing(self.path) as path:
            path.write_text("".join(map(_json_line, self.lines)), encoding="utf-8")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._timed_steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        self._last_end = time.perf_counter()
        self._timed_steps = batch
        if batch == 0:
            self._first_end = self._last_end

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        timed = self._last_end - self._first_end
        if self._timed_steps and timed > 0:
            logs["images_per_second"] = self._timed_steps * self.plan.batch_size / timed
        line = {"epoch": epoch + 1, "step": self.step}
        line |= {name: float(value) for name, value in logs.items()}
        line["seconds"] = round(self.seconds, 3)
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_json_line(line))


def _json_line(values: Mapping[str, Any]) -> str:
    return json.dumps(values) + "\n"
