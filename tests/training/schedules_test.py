"""The learning rate rises, decays and ends where it should, and survives saving."""

import keras
import numpy as np
import pytest

from keras_vit.training.schedules import WarmupSchedule


def _rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def test_the_rise_is_linear_and_loses_no_step():
    schedule = WarmupSchedule(0.4, total_steps=100, warmup_steps=4)
    np.testing.assert_allclose(_rates(schedule, range(5)), [0.1, 0.2, 0.3, 0.4, 0.4], rtol=1e-6)


@pytest.mark.parametrize(
    "decay, middle, last", [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)]
)
def test_each_decay_has_its_shape(decay, middle, last):
    schedule = WarmupSchedule(2.0, total_steps=110, warmup_steps=10, decay=decay)
    expected = 2.0 * np.array([middle, last, last])
    np.testing.assert_allclose(_rates(schedule, [60, 110, 999]), expected, atol=1e-6)


def test_the_cosine_is_flat_at_both_ends():
    schedule = WarmupSchedule(1.0, total_steps=100)
    steps = np.array([0, 10, 25, 75, 90])
    expected = 0.5 * (1 + np.cos(np.pi * steps / 100))
    np.testing.assert_allclose(_rates(schedule, steps), expected, rtol=1e-5)


def test_the_end_is_reached():
    schedule = WarmupSchedule(1.0, total_steps=10, end=0.1)
    np.testing.assert_allclose(_rates(schedule, [0, 10]), [1.0, 0.1], rtol=1e-6)


def test_an_optimizer_with_it_is_serialised_and_back():
    schedule = WarmupSchedule(0.3, total_steps=50, warmup_steps=5, decay="linear", end=0.01)
    optimizer = keras.optimizers.SGD(schedule)
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    again = restored._learning_rate
    assert isinstance(again, WarmupSchedule)
    np.testing.assert_array_equal(_rates(again, range(60)), _rates(schedule, range(60)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"peak": 0.0}, "peak"),
        ({"end": 2.0}, "end"),
        ({"total_steps": 0}, "total_steps"),
        ({"warmup_steps": 11}, "warmup_steps=11"),
        ({"decay": "step"}, "'step'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WarmupSchedule(**{"peak": 1.0, "total_steps": 10, **arguments})
