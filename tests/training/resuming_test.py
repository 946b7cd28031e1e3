"""A folder is gone on with when it holds the run that is asked for."""

import json

import keras
import numpy as np
import pytest

from keras_vit.images.spec import Preprocessing
from keras_vit.training.recipes import Recipe
from keras_vit.training.resuming import EarlierRun, find_earlier_run, identity
from keras_vit.training.state import Checkpoints

WANTED = {"recipe": {"seed": 0}}


def _network(**arguments):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], **arguments)
    model.preprocessing = Preprocessing(size=4)
    return model


@pytest.fixture
def checkpoints(tmp_path):
    found = Checkpoints(tmp_path / "checkpoints")
    record = {"identity": WANTED, "run_id": "a"}
    found.save(8, {"model/00000/kernel": np.zeros(3, "float32")}, record)
    return found


def test_identity_is_plain_and_the_same_for_the_same(image_sets):
    data, recipe = image_sets.data_in_memory(), Recipe(steps=3)
    found = identity(recipe, _network(), data)
    assert found == json.loads(json.dumps(found))
    assert found == identity(recipe, _network(), data)
    assert found["model"]["config"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": Recipe(steps=4)},
        {"model": _network(name="other")},
        {"data": {"train": 30}},
        {"data": {"classes": 3}},
    ],
)
def test_identity_tells_apart(image_sets, change):
    usual = {"recipe": Recipe(steps=3), "model": _network(), "data": {}}
    one, other = usual, {**usual, **change}
    one, other = (
        identity(run["recipe"], run["model"], image_sets.data_in_memory(**run["data"]))
        for run in (one, other)
    )
    assert one != other


def test_a_folder_of_photos_may_have_moved(image_sets):
    import dataclasses

    data = image_sets.data_in_memory()
    one, other, third = (
        identity(Recipe(steps=3), _network(), dataclasses.replace(data, name=name))
        for name in ("/home/me/photos", "photos/", "pictures")
    )
    assert one == other != third


def test_an_empty_folder_is_a_fresh_start(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert find_earlier_run(tmp_path, checkpoints, WANTED, resume=True) == EarlierRun()


def test_the_last_checkpoint_is_gone_on_from(tmp_path, checkpoints):
    half = checkpoints.folder / ".step_00000009.0123abcd.safetensors"
    half.write_text("half")
    found = find_earlier_run(tmp_path, checkpoints, WANTED, resume=True)
    assert (found.checkpoint.step, found.summary) == (8, None)
    assert not half.exists()


@pytest.mark.parametrize("run_id, is_finished", [("a", True), ("of an older run", False)])
def test_a_run_is_finished_when_its_own_summary_is_there(
    tmp_path, checkpoints, run_id, is_finished
):
    (tmp_path / "summary.json").write_text(json.dumps({"run_id": run_id}))
    found = find_earlier_run(tmp_path, checkpoints, WANTED, resume=True)
    assert (found.summary is not None) == is_finished


def test_a_broken_summary_is_named(tmp_path, checkpoints):
    (tmp_path / "summary.json").write_text('{"run_id": ')
    with pytest.raises(ValueError, match=r"Expected a JSON object in .*summary\.json"):
        find_earlier_run(tmp_path, checkpoints, WANTED, resume=True)


def test_another_run_is_refused(tmp_path, checkpoints):
    with pytest.raises(ValueError, match="recipe.seed: 0 in the checkpoint, 1 now"):
        find_earlier_run(tmp_path, checkpoints, {"recipe": {"seed": 1}}, resume=True)
    assert checkpoints.steps() == [8]


def test_without_resuming_the_checkpoints_go(tmp_path, checkpoints):
    found = find_earlier_run(tmp_path, checkpoints, {"recipe": {"seed": 1}}, resume=False)
    assert found == EarlierRun()
    assert checkpoints.steps() == []
