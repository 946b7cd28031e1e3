"""`train` on two replicas and two workers: the same numbers, and what a death leaves behind."""

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_vit.training.state import Checkpoints

PROGRAM = Path(__file__).with_name("workers.py")
KINDS = ("classes", "masked", "distilled", "labels", "adapters")  # of objective_cases.py
pytestmark = pytest.mark.slow


def _start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _start_workers(folder, kind, *death):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    cluster = {"worker": addresses}
    return [
        _start("multi_worker", folder, kind, *death, TF_CONFIG=json.dumps(
            {"cluster": cluster, "task": {"type": "worker", "index": index}}))
        for index in range(2)
    ]  # fmt: skip


def _finish(process):
    try:
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors
    finally:
        process.kill()


def _outcome(folder, process):
    code, output, errors = _finish(process)
    assert code == 0, errors[-3000:]
    result = json.loads(output.splitlines()[-1])
    with np.load(folder / "weights.npz") as weights:
        return result, [weights[name] for name in weights.files]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A function of a kind: the history and the weights of one replica."""

    @functools.cache
    def outcome(kind):
        folder = tmp_path_factory.mktemp("alone")
        return _outcome(folder, _start("none", folder, kind))

    return outcome


def _assert_same(outcome, alone):
    (result, weights), (expected, expected_weights) = outcome, alone
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 * max(0.01, np.abs(other).max()))
    assert len(result["history"]) == len(expected["history"]) == 4
    for line, other in zip(result["history"], expected["history"], strict=True):
        assert line == pytest.approx(other, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_two_replicas_end_as_one(alone, tmp_path, kind):
    _assert_same(_outcome(tmp_path, _start("mirrored", tmp_path, kind)), alone(kind))


@pytest.mark.parametrize("kind", ["masked", "distilled", "adapters"])
def test_two_workers_end_as_one(alone, tmp_path, kind):
    chief, other = _start_workers(tmp_path, kind)
    outcome = _outcome(tmp_path, chief)
    assert _finish(other)[0] == 0
    _assert_same(outcome, alone(kind))


def test_workers_survive_a_killed_and_a_stopped_one(alone, tmp_path):
    """One is killed, all start again; one gets SIGTERM, all start again and finish."""
    chief, other = _start_workers(tmp_path, "classes", "kill")
    code, output, errors = _finish(chief)
    assert _finish(other)[0] == -9
    assert code != 0
    assert "WorkerLostError Expected all 2 workers to answer" in output, errors[-3000:]
    assert "start all workers again" in output
    assert Checkpoints(tmp_path / "checkpoints").latest().step == 4

    for process in _start_workers(tmp_path, "classes", "term"):
        code, output, errors = _finish(process)
        assert code != 0
        assert "SIGTERM: stopped after step 9, saved in" in output, errors[-3000:]
    assert Checkpoints(tmp_path / "checkpoints").latest().step == 9

    chief, other = _start_workers(tmp_path, "classes")
    outcome = _outcome(tmp_path, chief)
    assert _finish(other)[0] == 0
    assert outcome[0]["resumed"] == [4, 9]
    _assert_same(outcome, alone("classes"))
