"""`train` on two replicas and two workers: the same numbers, and what a death leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_vit.training.state import Checkpoints

PROGRAM = Path(__file__).with_name("workers.py")
KINDS = ("classes", "masked", "distilled", "labels", "adapters")  # of objective_cases.py
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs, and the exit codes of their processes by name."""
    folder = tmp_path_factory.mktemp("runs")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads((folder / "codes.json").read_text())


def _outcome(folder):
    """What a run told at its end, and its weights."""
    logs = "\n".join(path.read_text()[-3000:] for path in folder.parent.glob("*.log"))
    assert (folder / "result.json").is_file(), logs
    with np.load(folder / "weights.npz") as weights:
        return json.loads((folder / "result.json").read_text()), list(weights.values())


def _assert_same(folder, other):
    (result, weights), (expected, expected_weights) = _outcome(folder), _outcome(other)
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 * max(0.01, np.abs(other).max()))
    assert len(result["history"]) == len(expected["history"]) == 4
    for line, other in zip(result["history"], expected["history"], strict=True):
        assert line == pytest.approx(other, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_two_replicas_end_as_one(runs, kind):
    folder, codes = runs
    _assert_same(folder / "mirrored" / kind, folder / "none" / kind)
    assert codes["none"] == codes["mirrored"] == [0]


@pytest.mark.parametrize("kind", ["masked", "distilled", "adapters"])
def test_two_workers_end_as_one(runs, kind):
    folder, codes = runs
    _assert_same(folder / "workers" / kind, folder / "none" / kind)
    assert codes["workers"] == [0, 0]


def test_workers_survive_a_killed_and_a_stopped_one(runs):
    """One is killed, all start again; one gets SIGTERM, all start again and finish."""
    folder, codes = runs
    mortal = folder / "mortal"

    def said(name, worker):
        return (mortal / f"{name}{worker}.log").read_text()

    assert codes["kill"] == [1, -9]
    assert "WorkerLostError Expected all 2 workers to answer" in said("kill", 0)
    assert "start all workers again" in said("kill", 0)
    assert Checkpoints(mortal / "after_kill").latest().step == 4

    assert 0 not in codes["term"]
    for worker in range(2):
        assert "SIGTERM: stopped after step 9, saved in" in said("term", worker)
    assert Checkpoints(mortal / "after_term").latest().step == 9

    assert codes["finish"] == [0, 0]
    assert _outcome(mortal / "classes")[0]["resumed"] == [4, 9]
    _assert_same(mortal / "classes", folder / "none" / "classes")
