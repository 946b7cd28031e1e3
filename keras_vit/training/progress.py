"""What a run says while it goes: a bar on a terminal, a line now and then everywhere."""

import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from keras_vit.data.pass_progress import (
    SECONDS_BETWEEN_DRAWINGS,
    SECONDS_BETWEEN_LINES,
    SECONDS_TO_FIRST_LINE,
    clock,
    show_speed,
)
from keras_vit.training.callbacks import HELD_OUT, StepCallback
from keras_vit.training.plan import Plan

SILENT, BAR, LINES = 0, 1, 2
_BAR_WIDTH = 20


class Progress(StepCallback):
    """Prints loss, figures, learning rate, images a second and the time left of the whole run.

    The bar is drawn twice a second at most. Without one there is a line soon after the first step,
    then one at least every 30 seconds. The time left is that of the steps to come at the pace of
    this process so far, in which evaluating and saving count.

    Args:
        plan: of the run.
        learning_rate: the rate of a step, counted from 0.
        verbose: `LINES` for lines alone, `BAR` for a bar besides those of the epochs.
        stream: where to; None is the standard output.
    """

    def __init__(
        self,
        plan: Plan,
        learning_rate: Callable[[int], Any],
        *,
        verbose: int = LINES,
        stream: TextIO | None = None,
    ):
        super().__init__(plan)
        self.learning_rate = learning_rate
        self.verbose = verbose
        self._stream = stream or sys.stdout
        self._drawn = 0
        self._wait = SECONDS_TO_FIRST_LINE
        self._shown_at = -math.inf
        self._first: tuple[float, int] | None = None
        self._last = (0.0, plan.start_step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Draws the bar, or prints a line, if it is time to."""
        super().on_train_batch_end(batch, logs)
        now = time.perf_counter()
        if self._first is None:  # the first step compiles, which says nothing of the others
            self._first = self._last = (now, self.step)
            if self.verbose == LINES:
                self._shown_at = now
        if self.verbose == BAR and now - self._shown_at >= SECONDS_BETWEEN_DRAWINGS:
            self._draw(now, logs or {})
        elif self.verbose == LINES and now - self._shown_at >= self._wait:
            self._wait = SECONDS_BETWEEN_LINES
            self._print(self._text(now, logs or {}), now)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = dict(logs or {})
        rate = logs.pop("learning_rate", None)
        speed = logs.pop("images_per_second", None)
        held_out = {name: value for name, value in logs.items() if name.startswith(HELD_OUT)}
        trained = {name: value for name, value in logs.items() if name not in held_out}
        parts = [f"Epoch {epoch + 1}/{self.plan.epochs}", *_figures(trained), *_figures(held_out)]
        parts += [] if rate is None else [f"lr {rate:.3g}"]
        parts += [] if speed is None else [show_speed(speed)]
        now = time.perf_counter()
        self._clear()
        self._print("  ".join([*parts, *self._time_left(now)]), now)

    def _print(self, text: str, now: float) -> None:
        print(text, file=self._stream, flush=True)
        self._shown_at = now

    def _text(self, now: float, logs: Mapping[str, Any]) -> str:
        """Says where the run is, within an epoch."""
        total = self.plan.total_steps
        parts = [f"{self.step:,}/{total:,}", *self._time_left(now), *_figures(logs)]
        parts.append(f"lr {float(self.learning_rate(self.step - 1)):.3g}")
        before, step = self._last
        if self.step > step and now > before:
            images = (self.step - step) * self.plan.batch_size
            parts.append(show_speed(images / (now - before)))
        self._last = (now, self.step)
        return "  ".join(parts)

    def _draw(self, now: float, logs: Mapping[str, Any]) -> None:
        text, room = self._text(now, logs), shutil.get_terminal_size().columns - 1
        width = min(_BAR_WIDTH, room - len(text) - 3)  # the bar takes what the text leaves
        if width > 1:
            bar = "=" * int(width * self.step / self.plan.total_steps)
            text = f"[{bar:<{width}}] {text}"
        text = text[:room]
        self._stream.write("\r" + text + " " * (self._drawn - len(text)))
        self._stream.flush()
        self._drawn, self._shown_at = len(text), now

    def _time_left(self, now: float) -> list[str]:
        total = self.plan.total_steps
        if self._first is None or self.step == self._first[1] or self.step >= total:
            return []
        pace = (now - self._first[0]) / (self.step - self._first[1])
        if pace <= 0:  # the clock was set back
            return []
        return [f"{clock(pace * (total - self.step))} left"]

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0


def _figures(logs: Mapping[str, Any]) -> list[str]:
    order = sorted(logs, key=lambda name: not name.endswith("loss"))  # the loss comes first
    return [f"{name} {float(logs[name]):.4f}" for name in order]
