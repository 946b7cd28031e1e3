"""Rooms import their names when they are used."""

import importlib

import pytest

ROOMS = ("data", "evaluation", "export", "images", "interpret", "training", "weights")


@pytest.mark.parametrize("name", ROOMS)
def test_every_name_of_a_room_is_there(name):
    room = importlib.import_module(f"keras_vit.{name}")
    assert set(room.__all__) <= set(dir(room))
    for public in room.__all__:
        assert getattr(room, public) is not None
        assert public in vars(room)  # the next time it is found at once


def test_a_module_of_a_room_is_a_name_too():
    from keras_vit import evaluation

    assert evaluation.probes.METHODS


@pytest.mark.parametrize("name", ["trane", "__wrapped__"])
def test_an_unknown_name_is_an_attribute_error(name):
    from keras_vit import training

    with pytest.raises(AttributeError, match=f"'keras_vit.training' has no attribute '{name}'"):
        getattr(training, name)
