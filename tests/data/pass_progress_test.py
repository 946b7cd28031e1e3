"""How far a pass is: a line now and then in a file, one line drawn again on a terminal."""

import io

import pytest

from keras_vit.data import pass_progress
from keras_vit.data.pass_progress import PassProgress, clock, show_speed


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def later(monkeypatch):
    """Moves the clock on."""
    now = [0.0]
    monkeypatch.setattr(pass_progress.time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def _pass(stream, later, seconds, images=100):
    progress = PassProgress(images, stream)
    for _ in range(images):
        later(seconds)
        progress.add(1)
    progress.end()
    return stream.getvalue()


def test_a_file_gets_a_line_soon_and_then_every_half_minute(later):
    lines = _pass(io.StringIO(), later, 1).splitlines()
    assert len(lines) == 4
    assert lines[0] == "5/100 images  1 img/s  1:35 left"
    assert lines[1].startswith("35/100") and lines[1].endswith("1:05 left")


def test_a_short_pass_says_nothing(later):
    assert _pass(io.StringIO(), later, 0.01) == ""
    assert _pass(io.StringIO(), later, 10, images=0) == ""


def test_a_terminal_has_one_line_that_goes_at_the_end(later):
    text = _pass(Terminal(), later, 0.1)
    assert "\n" not in text and text.endswith("\r") and text.split("\r")[-2].strip() == ""
    assert "\r90/100 images  10 img/s  0:01 left" in text


def test_times_and_speeds_are_short():
    assert (clock(75), clock(3700)) == ("1:15", "1:01:40")
    assert (show_speed(0.31), show_speed(9.96), show_speed(1234.4)) == (
        "0.31 img/s", "10 img/s", "1,234 img/s",
    )  # fmt: skip
