"""Signals that ask a run to end: noted at once, obeyed when the step is done and saved."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingInterrupted(SystemExit):
    """A signal ended the run after its state was saved; `train` with `resume=True` goes on.

    Not caught, it ends the process quietly with the status that shells expect: 143 after SIGTERM,
    130 after SIGINT (Ctrl-C).

    Attributes:
        signal: the signal.
        step: optimizer steps done.
        checkpoint: the file with the state, or None if no step was done.
    """

    def __init__(self, received: int, step: int, checkpoint: Path | None):
        super().__init__(128 + received)
        self.signal = signal.Signals(received)
        self.step = step
        self.checkpoint = checkpoint

    def __str__(self) -> str:
        where = "nothing to save yet" if self.checkpoint is None else f"saved in {self.checkpoint}"
        return f"{self.signal.name}: stopped after step {self.step}, {where}."


class Interruption:
    """Notes the first SIGTERM or SIGINT while its block runs, instead of what they do by default.

    The second one acts as it did before the block, so that Ctrl-C twice ends at once. Signals
    belong to the main thread: in another one nothing is noted.

    Attributes:
        received: the signal, or None.

    Example:
        >>> with Interruption() as interruption:
        ...     interruption.received is None
        True
    """

    def __init__(self):
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not None:  # None: not set from Python
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()
        text = f"\n{signal.Signals(number).name}: finishing the step and saving.\n"
        with contextlib.suppress(OSError):  # print is not safe here: it may be what was interrupted
            os.write(2, text.encode())

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
