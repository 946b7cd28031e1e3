"""What a run says while it goes: a bar on a terminal, a line an epoch everywhere."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from keras_vit.training.callbacks import HELD_OUT, StepCallback

SILENT, BAR, LINES = 0, 1, 2
_SECONDS_BETWEEN_DRAWINGS = 0.5
_BAR_WIDTH = 20


class Progress(StepCallback):
    """Prints loss, accuracy, learning rate, images a second and the time left of the whole run.

    The bar is drawn twice a second at most. The time left is that of the steps to come at the
    pace of this process so far, in which evaluating and saving count.

    Args:
        batch_size: images a step.
        steps_an_epoch: of a whole epoch.
        total_steps: of the run.
        learning_rate: the rate of a step, counted from 0.
        start_step: steps done before this process.
        verbose: `LINES` for a line an epoch, `BAR` for a bar besides.
        stream: where to; None is the standard output.
    """

    def __init__(
        self,
        batch_size: int,
        steps_an_epoch: int,
        total_steps: int,
        learning_rate: Callable[[int], Any],
        *,
        start_step: int = 0,
        verbose: int = LINES,
        stream: TextIO | None = None,
    ):
        super().__init__(steps_an_epoch, start_step)
        self.batch_size = batch_size
        self.total_steps = total_steps
        self.learning_rate = learning_rate
        self.verbose = verbose
        self._stream = stream or sys.stdout
        self._drawn = 0
        self._drawn_at = -math.inf
        self._first: tuple[float, int] | None = None
        self._last = (0.0, start_step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Draws the bar, if it is time to."""
        super().on_train_batch_end(batch, logs)
        now = time.perf_counter()
        if self._first is None:  # the first step compiles, which says nothing of the others
            self._first = self._last = (now, self.step)
        if self.verbose == BAR and now - self._drawn_at >= _SECONDS_BETWEEN_DRAWINGS:
            self._draw(now, logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Prints the line of the epoch."""
        logs = dict(logs or {})
        rate = logs.pop("learning_rate", None)
        speed = logs.pop("images_per_second", None)
        epochs = math.ceil(self.total_steps / self.steps_an_epoch)
        held_out = {name: value for name, value in logs.items() if name.startswith(HELD_OUT)}
        trained = {name: value for name, value in logs.items() if name not in held_out}
        parts = [f"Epoch {epoch + 1}/{epochs}", *_figures(trained), *_figures(held_out)]
        parts += [] if rate is None else [f"lr {rate:.3g}"]
        parts += [] if speed is None else [f"{speed:,.0f} img/s"]
        parts += self._time_left(time.perf_counter())
        self._clear()
        print("  ".join(parts), file=self._stream, flush=True)

    def _draw(self, now: float, logs: Mapping[str, Any]) -> None:
        parts = [f"{self.step:,}/{self.total_steps:,}", *self._time_left(now), *_figures(logs)]
        parts.append(f"lr {float(self.learning_rate(self.step - 1)):.3g}")
        before, step = self._last
        if self.step > step:
            parts.append(f"{(self.step - step) * self.batch_size / (now - before):,.0f} img/s")
        text, room = "  ".join(parts), shutil.get_terminal_size().columns - 1
        width = min(_BAR_WIDTH, room - len(text) - 3)  # the bar takes what the text leaves
        if width > 1:
            bar = "=" * int(width * self.step / self.total_steps)
            text = f"[{bar:<{width}}] {text}"
        text = text[:room]
        self._stream.write("\r" + text + " " * (self._drawn - len(text)))
        self._stream.flush()
        self._drawn, self._drawn_at, self._last = len(text), now, (now, self.step)

    def _time_left(self, now: float) -> list[str]:
        if self._first is None or self.step == self._first[1] or self.step >= self.total_steps:
            return []
        pace = (now - self._first[0]) / (self.step - self._first[1])
        return [f"{_clock(pace * (self.total_steps - self.step))} left"]

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0


def _figures(logs: Mapping[str, Any]) -> list[str]:
    order = sorted(logs, key=lambda name: not name.endswith("loss"))  # the loss comes first
    return [f"{name} {float(logs[name]):.4f}" for name in order]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
