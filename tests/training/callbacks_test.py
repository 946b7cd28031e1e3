"""Epochs end where the run says, a broken loss stops at its step, the log has a true line each."""

import functools
import json

import keras
import numpy as np
import pytest

from keras_vit.training.callbacks import (
    AveragedWeights,
    BrokenLossError,
    EpochEnds,
    History,
    StepCallback,
    StopOnBrokenLoss,
)
from keras_vit.training.plan import Plan


def _plan(start=0, total=9):
    return Plan(4, 3, total, start)


@functools.cache
def _compiled(use_ema=None):
    """A model of one weight vector; the tests share it, so that it is traced once."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    ema = {} if use_ema is None else {"use_ema": use_ema, "ema_momentum": 0.9}
    model.compile(keras.optimizers.SGD(0.125 if use_ema is None else 0.01, **ema), "mse")
    return model


def _fit(callbacks, *, epochs=2, images=None, use_ema=None, **arguments):
    model = _compiled(use_ema)
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    images = np.ones((12, 3), "float32") if images is None else images
    model.fit(images, np.zeros((12, 1)), batch_size=4, epochs=epochs, shuffle=False, verbose=0,
              callbacks=callbacks, validation_data=(images[:2], np.zeros((2, 1))),
              **arguments)  # fmt: skip


class Watch(keras.callbacks.Callback):
    """Notes the steps and epochs that `fit` does."""

    def __init__(self, counter):
        super().__init__()
        self.counter, self.steps, self.epochs = counter, [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.counter.step)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, self.counter.step))


@pytest.mark.parametrize("start, first", [(0, 1), (3, 4), (4, 5), (5, 6)])
def test_steps_are_those_of_the_run(start, first):
    counter = StepCallback(_plan(start))
    watch = Watch(counter)
    _fit([counter, watch], epochs=3, initial_epoch=start // 3)
    assert watch.steps[0] == first
    assert watch.epochs[0][0] == start // 3


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "start, total, epochs",
    [
        (0, 9, [(0, 3), (1, 6), (2, 9)]),
        (0, 7, [(0, 3), (1, 6), (2, 7)]),
        (4, 9, [(1, 6), (2, 9)]),
        (5, 8, [(1, 6), (2, 8)]),
        (4, 5, [(1, 5)]),
        (0, 2, [(0, 2)]),
    ],
)
def test_epochs_end_where_they_would_have_without_a_break(start, total, epochs):
    counter, ends = StepCallback(_plan(start)), EpochEnds(_plan(start, total))
    watch = Watch(counter)
    _fit([counter, ends, watch], epochs=3, initial_epoch=start // 3)
    assert watch.epochs == epochs
    assert watch.steps == list(range(start + 1, total + 1))


def test_another_callback_may_end_the_training_with_a_short_epoch():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    counter = StepCallback(_plan(1))
    watch = Watch(counter)
    _fit([counter, EpochEnds(_plan(1)), Stop(), watch], epochs=3)
    assert watch.steps == [2, 3]


def test_history_writes_a_line_an_epoch(tmp_path):
    path = tmp_path / "log" / "history.jsonl"
    history = History(path, _plan())
    _fit([history], epochs=3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == history.lines
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["step"] for line in lines] == [3, 6, 9]
    for line in lines:
        assert line.keys() == {"epoch", "step", "loss", "val_loss", "learning_rate",
                               "images_per_second", "seconds"}  # fmt: skip
        assert line["learning_rate"] == 0.125
        assert line["images_per_second"] > 0
    assert history.seconds >= lines[-1]["seconds"] > 0


def test_history_goes_on_after_the_lines_it_is_given(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("of a run that went further before it was killed\n" * 9)
    earlier = {"epoch": 1, "step": 3, "loss": 0.5, "seconds": 100.0}
    history = History(path, _plan(3), lines=[earlier], seconds=200.0)
    _fit([history], epochs=2, initial_epoch=1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == earlier
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6)]
    assert 200 < lines[1]["seconds"] < 300


def test_an_epoch_of_one_step_has_no_speed(tmp_path):
    history = History(tmp_path / "history.jsonl", _plan(2))
    _fit([EpochEnds(_plan(2, 3)), history], epochs=1)
    assert history.lines[0]["step"] == 3
    assert "images_per_second" not in history.lines[0]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("start, step", [(0, 3), (3, 6)])
def test_a_broken_loss_stops_at_its_step(broken, start, step):
    images = np.ones((12, 3), "float32")
    images[9] = broken
    with pytest.raises(BrokenLossError, match=f"at step {step}"):
        _fit([StopOnBrokenLoss(_plan(start))], images=images, initial_epoch=start // 3)


@pytest.mark.parametrize("use_ema", [True, False])
def test_the_average_is_evaluated_and_the_weights_come_back(use_ema):
    class Look(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            self.evaluated = self.model.get_weights()

        def on_epoch_begin(self, epoch, logs=None):
            self.weights = self.model.get_weights()

        def on_train_batch_end(self, batch, logs=None):
            self.weights = self.model.get_weights()

        def on_epoch_end(self, epoch, logs=None):
            for one, other in zip(self.weights, self.model.get_weights(), strict=True):
                assert one.tobytes() == other.tobytes()
            self.average = [
                variable.numpy() for variable in self.model.optimizer.variables
                if variable.name.endswith("_average")
            ] or self.weights  # fmt: skip

    look = Look()
    _fit([AveragedWeights(), look], use_ema=use_ema)
    for evaluated, average in zip(look.evaluated, look.average, strict=True):
        np.testing.assert_array_equal(evaluated, average)
    assert use_ema == bool(np.abs(look.evaluated[0] - look.weights[0]).max() > 1e-4)
