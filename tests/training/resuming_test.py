"""A folder is gone on with when it holds the run that is asked for."""

import json

import numpy as np
import pytest

from keras_vit.training.resuming import EarlierRun, find_earlier_run, locked
from keras_vit.training.state import Checkpoints

WANTED = {"recipe": {"seed": 0}}


@pytest.fixture
def checkpoints(tmp_path):
    found = Checkpoints(tmp_path / "checkpoints")
    record = {"identity": WANTED, "run_id": "a"}
    found.save(8, {"model/00000/kernel": np.zeros(3, "float32")}, record)
    return found


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


def test_a_folder_is_for_one_run_at_a_time(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RuntimeError, match="no other run is writing to.*one is at work"):
            with locked(tmp_path):
                raise AssertionError("not reached")
    with locked(tmp_path):
        assert not list(tmp_path.iterdir())
