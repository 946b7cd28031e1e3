"""The log has a true line an epoch; a broken loss stops the run at its step."""

import json

import keras
import numpy as np
import pytest

from keras_vit.training.callbacks import BrokenLossError, History, StopAtStep, StopOnBrokenLoss


def _fit(callbacks, *, epochs=2, images=None):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.125), "mse")
    images = np.ones((12, 3), "float32") if images is None else images
    model.fit(images, np.zeros((12, 1)), batch_size=4, epochs=epochs, shuffle=False, verbose=0,
              callbacks=callbacks, validation_data=(images[:2], np.zeros((2, 1))))  # fmt: skip
    return model


def test_history_writes_a_line_an_epoch(tmp_path):
    path = tmp_path / "log" / "history.jsonl"
    history = History(path, batch_size=4)
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


def test_history_replaces_an_older_one(tmp_path):
    path = tmp_path / "history.jsonl"
    for _ in range(2):
        _fit([History(path, batch_size=4)], epochs=1)
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_loss_stops_at_its_step(broken):
    images = np.ones((12, 3), "float32")
    images[9] = broken
    with pytest.raises(BrokenLossError, match="at step 3"):
        _fit([StopOnBrokenLoss()], images=images)


def test_training_stops_in_the_middle_of_an_epoch(tmp_path):
    history = History(tmp_path / "history.jsonl", batch_size=4)
    model = _fit([StopAtStep(4), history], epochs=5)
    assert int(model.optimizer.iterations) == 4
    assert [line["step"] for line in history.lines] == [3, 4]
    assert "val_loss" in history.lines[-1]
