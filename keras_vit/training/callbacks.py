"""What happens beside the training step: the log, the stop at a step, the stop at a broken loss."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import keras


class BrokenLossError(RuntimeError):
    """The loss became NaN or infinite; the message names the step."""


class StopOnBrokenLoss(keras.callbacks.Callback):
    """Raises at the first step whose loss is not a finite number.

    Raises:
        BrokenLossError: from within `fit`, naming the step, counted from 1.
    """

    def __init__(self):
        super().__init__()
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss, a mean over the steps of this epoch: it stays broken once it is."""
        self._step += 1
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise BrokenLossError(
                f"Expected a finite loss. Received: loss={loss} at step {self._step}. Lower the "
                "learning rate, lengthen the warm-up or set clip_norm; if it is step 1, look for "
                "broken images or weights."
            )


class StopAtStep(keras.callbacks.Callback):
    """Ends training after a number of steps, also in the middle of an epoch.

    Args:
        steps: optimizer steps of the run, at least 1.
    """

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the step."""
        self._step += 1
        if self._step >= self.steps:
            self.model.stop_training = True


class History(keras.callbacks.Callback):
    """Writes one JSON line an epoch, and adds speed and learning rate to the logs of the others.

    A line holds `epoch` and `step` (counted from 1), `loss`, `accuracy`, `val_loss` and
    `val_accuracy` where there is a split to watch, `learning_rate` after the epoch,
    `images_per_second` of the training steps (without the first of an epoch, which may wait for a
    compilation or a buffer) and `seconds` since the start of training.

    Args:
        path: the file; an older one is replaced.
        batch_size: images a step.

    Attributes:
        lines: the lines so far, as dictionaries.
    """

    def __init__(self, path: str | os.PathLike, batch_size: int):
        super().__init__()
        self.path = Path(path)
        self.batch_size = batch_size
        self.lines: list[dict[str, Any]] = []
        self._step = 0
        self._start = self._first_end = self._last_end = 0.0
        self._epoch_steps = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock and the file."""
        self._start = time.perf_counter()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the count of the epoch."""
        self._epoch_steps = 0
        self._first_end = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the step."""
        self._step += 1
        self._epoch_steps += 1
        self._last_end = time.perf_counter()
        if self._epoch_steps == 1:
            self._first_end = self._last_end

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the line."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        timed = self._last_end - self._first_end
        if self._epoch_steps > 1 and timed > 0:
            logs["images_per_second"] = (self._epoch_steps - 1) * self.batch_size / timed
        line = {"epoch": epoch + 1, "step": self._step}
        line |= {name: float(value) for name, value in logs.items()}
        line["seconds"] = round(time.perf_counter() - self._start, 3)
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
