"""How far a pass over images is: a line drawn again on a terminal, else one now and then."""

import sys
import time
from typing import TextIO

SECONDS_BETWEEN_DRAWINGS = 0.5
SECONDS_TO_FIRST_LINE = 5.0
SECONDS_BETWEEN_LINES = 30.0


class PassProgress:
    """Says how many images are done, how fast it goes and how long it takes yet.

    Speed and time left are those since the first images, which wait for a compilation.

    Args:
        total: number of images.
        stream: where to; None is the standard output. It is silent where `total` is 0.
    """

    def __init__(self, total: int, stream: TextIO | None = None):
        self.total, self.done = total, 0
        self._stream = stream or sys.stdout
        self._redraws = self._stream.isatty()
        self._wait = SECONDS_BETWEEN_DRAWINGS if self._redraws else SECONDS_TO_FIRST_LINE
        self._shown_at = time.perf_counter()
        self._first: tuple[float, int] | None = None
        self._drawn = 0

    def add(self, count: int) -> None:
        """Counts images that are done, and says so if it is time to."""
        self.done += count
        now = time.perf_counter()
        if self._first is None:
            self._first = (now, self.done)
        if now - self._shown_at < self._wait or not self.total:
            return
        text, self._shown_at = self._text(now), now
        if self._redraws:
            self._stream.write("\r" + text + " " * (self._drawn - len(text)))
            self._drawn = len(text)
        else:
            self._stream.write(text + "\n")
            self._wait = SECONDS_BETWEEN_LINES
        self._stream.flush()

    def reach(self, done: int, total: int) -> None:
        """Counts up to the images that are done of a total that is known now."""
        self.total = total
        self.add(done - self.done)

    def end(self) -> None:
        """Takes away what is drawn."""
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _text(self, now: float) -> str:
        start, before = self._first
        parts = [f"{self.done:,}/{self.total:,} images"]
        if self.done > before and now > start:
            speed = (self.done - before) / (now - start)
            parts += [f"{show_speed(speed)}", f"{clock((self.total - self.done) / speed)} left"]
        return "  ".join(parts)


def clock(seconds: float) -> str:
    """Returns seconds as `minutes:seconds`, or with hours before them."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def show_speed(images_per_second: float) -> str:
    """Returns a speed with its unit; below ten with two digits, so that none becomes 0."""
    digits = ",.0f" if images_per_second >= 9.95 else ".2g"
    return f"{images_per_second:{digits}} img/s"
