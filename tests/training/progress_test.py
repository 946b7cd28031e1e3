"""The bar and the lines say where the run is, how fast it is and how long it takes yet."""

import io
import re

import pytest

from keras_vit.training import progress
from keras_vit.training.plan import Plan
from keras_vit.training.progress import BAR, LINES, Progress

LOGS = {"accuracy": 0.75, "loss": 0.5}


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "time", clock)
    return clock


def _steps(printer, clock, epoch, steps, seconds=0.5):
    printer.on_epoch_begin(epoch)
    for batch in range(steps):
        clock.now += seconds
        printer.on_train_batch_end(batch, LOGS)


def _progress(**arguments):
    stream = io.StringIO()
    plan = Plan(8, 10, 40, arguments.pop("start_step", 0))
    return stream, Progress(plan, lambda step: step / 1000, stream=stream, **arguments)


def test_the_bar_has_loss_accuracy_rate_speed_and_time_left(clock):
    stream, printer = _progress(verbose=BAR)
    _steps(printer, clock, 0, 10)
    last = stream.getvalue().split("\r")[-1].rstrip()
    assert last == (
        "[=====               ] 10/40  0:15 left  loss 0.5000  accuracy 0.7500  lr 0.009  16 img/s"
    )


def test_the_time_left_leaves_out_the_first_step(clock):
    stream, printer = _progress(verbose=BAR)
    clock.now += 1000
    _steps(printer, clock, 0, 5)
    assert "0:18 left" in stream.getvalue().split("\r")[-1]


def test_a_resumed_run_counts_from_its_step(clock):
    stream, printer = _progress(verbose=BAR, start_step=20)
    _steps(printer, clock, 2, 3)
    assert stream.getvalue().split("\r")[-1].startswith("[===========         ] 23/40")
    assert "0:08 left" in stream.getvalue()


def test_the_bar_is_drawn_twice_a_second(clock):
    stream, printer = _progress(verbose=BAR)
    _steps(printer, clock, 0, 10, seconds=0.0625)
    assert stream.getvalue().count("\r") == 2


@pytest.mark.parametrize("columns, bar", [(80, True), (60, False), (20, False)])
def test_the_bar_fits_the_terminal(clock, monkeypatch, columns, bar):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream, printer = _progress(verbose=BAR)
    _steps(printer, clock, 0, 10)
    lines = stream.getvalue().split("\r")
    assert all(len(text) < columns for text in lines)
    assert lines[-1].startswith("[") == bar


@pytest.mark.parametrize("verbose", [BAR, LINES])
def test_an_epoch_is_a_line(clock, verbose):
    stream, printer = _progress(verbose=verbose)
    _steps(printer, clock, 0, 10)
    printer.on_epoch_end(0, {**LOGS, "val_loss": 0.25, "val_accuracy": 1.0,
                             "learning_rate": 1e-4, "images_per_second": 1234.5})  # fmt: skip
    text = stream.getvalue()
    assert ("\r" in text) == (verbose == BAR)
    assert text.split("\r")[-1] == (
        "Epoch 1/4  loss 0.5000  accuracy 0.7500  val_loss 0.2500  val_accuracy 1.0000  lr 0.0001"
        "  1,234 img/s  0:15 left\n"
    )


def test_the_last_line_has_no_time_left(clock):
    stream, printer = _progress(verbose=LINES, start_step=30)
    _steps(printer, clock, 3, 10)
    printer.on_epoch_end(3, LOGS)
    assert stream.getvalue() == "Epoch 4/4  loss 0.5000  accuracy 0.7500\n"


def test_without_a_bar_there_is_a_line_soon_and_then_every_half_minute(clock):
    stream, printer = _progress(verbose=LINES)
    _steps(printer, clock, 0, 10, seconds=4.0)
    _steps(printer, clock, 1, 10, seconds=4.0)
    lines = stream.getvalue().splitlines()
    assert [line.split("/")[0] for line in lines] == ["3", "11", "19"]
    assert lines[1] == "11/40  1:56 left  loss 0.5000  accuracy 0.7500  lr 0.01  2 img/s"


def test_a_line_of_an_epoch_counts_as_one(clock):
    stream, printer = _progress(verbose=LINES)
    _steps(printer, clock, 0, 10, seconds=2.0)
    printer.on_epoch_end(0, LOGS)
    _steps(printer, clock, 1, 10, seconds=2.0)
    assert [line.split("/")[0] for line in stream.getvalue().splitlines()] == ["4", "Epoch 1"]


def test_a_clock_that_is_set_back_gives_no_time_left(clock):
    stream, printer = _progress(verbose=LINES)
    _steps(printer, clock, 0, 10)
    clock.now -= 7200
    printer.on_epoch_end(0, LOGS)
    assert "left" not in stream.getvalue()


@pytest.mark.parametrize("seconds, text", [(0.1, "0:00"), (59.6, "1:00"), (3725, "1:02:05")])
def test_long_times_have_hours(clock, seconds, text):
    stream, printer = _progress(verbose=BAR, start_step=37)
    printer.on_epoch_begin(3)
    for batch in range(2):  # the first step, which compiles, is not counted
        clock.now += seconds
        printer.on_train_batch_end(batch, LOGS)
    printer.on_epoch_end(3, LOGS)
    assert re.search(rf"\b{text} left", stream.getvalue())
