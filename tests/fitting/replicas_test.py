"""One replica, two mirrored ones and two workers over gRPC end at the same weights and figures."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("replicas.py")
EXACT = (
    "sgd", "sgd_clipped", "sgd_clipped_accumulated", "adamw", "adamw_everything", "sharpness",
    "clipnorm", "clipvalue", "weighted_mean", "sum", "small_last_batch",
    "small_last_batch_accumulated",
)  # fmt: skip
HALF = {"float16": 2e-3, "bfloat16": 1e-2}  # eight bits of a bfloat16 are 4e-3
ON_WORKERS = (
    "sgd_clipped", "sgd_clipped_accumulated", "adamw", "adamw_everything", "small_last_batch",
    "sharpness",
)  # fmt: skip


def _do(*jobs):
    """Lets the program do jobs of kind, file, cases and `TF_CONFIG`."""
    result = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(jobs)], timeout=400,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder with what all have trained."""
    folder = tmp_path_factory.mktemp("trained")
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    tasks = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
             for index in range(2)]  # fmt: skip
    _do(
        ["mirrored", str(folder / "mirrored.npz"), [*EXACT, *HALF], {}],
        *(["worker", str(folder / "workers.npz"), ON_WORKERS, task] for task in tasks),
    )
    return folder


@pytest.fixture(scope="module")
def mirrored(trained):
    """The arrays of one and of two mirrored replicas, by `strategy|case|name`."""
    return dict(np.load(trained / "mirrored.npz"))


@pytest.fixture(scope="module")
def workers(trained):
    """The arrays that the chief of two workers ends with."""
    return dict(np.load(trained / "workers.npz"))


def _differences(one, other, kind, case):
    """Largest difference of each array, as a share of its scale."""
    names = [key.split("|")[2] for key in one if key.startswith(f"one|{case}|")]
    assert "history val_loss" in names
    differences = {}
    for name in names:
        expected, found = one[f"one|{case}|{name}"], other[f"{kind}|{case}|{name}"]
        scale = max(np.abs(expected).max(), 1e-12)
        differences[name] = np.abs(found.astype("float64") - expected).max() / scale
    return differences


def _check(differences, tolerance):
    """Moments add up rounding of many steps and are held to five times the tolerance."""
    for name, difference in differences.items():
        limit = tolerance * (5 if name.startswith("optimizer") else 1)
        assert difference <= limit, f"{name}: {difference:.1e}"
    kinds = {name.split()[0] for name in differences}
    print({kind: f"{max(v for k, v in differences.items() if k.startswith(kind)):.1e}"
           for kind in sorted(kinds)})  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", EXACT)
def test_two_mirrored_replicas_train_as_one(mirrored, case):
    _check(_differences(mirrored, mirrored, "mirrored", case), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", HALF)
def test_half_precision_agrees_within_its_rounding(mirrored, case):
    """But for the accuracy: one image on the border may fall to the other side."""
    differences = _differences(mirrored, mirrored, "mirrored", case)
    _check({k: v for k, v in differences.items() if not k.endswith("accuracy")}, HALF[case])


@pytest.mark.slow
@pytest.mark.parametrize("case", ON_WORKERS)
def test_two_workers_train_as_one_replica(mirrored, workers, case):
    _check(_differences(mirrored, workers, "workers", case), 1e-6)


@pytest.mark.slow
def test_the_comparison_sees_a_fault(mirrored):
    """Accumulation changes no number, clipping does: the cases tell them apart."""
    alike = "one|sgd_clipped|weight head/kernel", "one|sgd_clipped_accumulated|weight head/kernel"
    np.testing.assert_allclose(mirrored[alike[0]], mirrored[alike[1]], atol=1e-6)
    assert np.abs(mirrored[alike[0]] - mirrored["one|sgd|weight head/kernel"]).max() > 1e-3


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """What the program writes of mistakes and of dropping."""
    path = tmp_path_factory.mktemp("refused") / "messages.json"
    _do(["refused", str(path), [], {}])
    return json.loads(path.read_text())


@pytest.mark.parametrize("layer", ["Dropout", "DropPath"])
def test_each_replica_drops_something_else(refused, layer):
    """And in the next call something else again."""
    one, two, three, four = (np.array(x) for call in refused["dropped"][layer] for x in call)
    assert set(np.unique([one, two, three, four])) == {0, 2}
    for left, right in ((one, two), (one, three), (two, four), (three, four)):
        assert not np.array_equal(left, right)


def test_what_two_replicas_cannot_do_is_said_before_the_first_step(refused):
    messages = refused["messages"]
    expected = {
        "optimizer outside": "an optimizer made in the scope of the strategy",
        "optimizer accumulates": "compile(accumulation_steps=4)",
        "several steps": "Received: steps_per_execution=2",
        "xla": "Received: jit_compile=True",
        "no reduction": "one reduction",
        "model outside": "a model made in the scope of the strategy",
    }
    assert messages.keys() == expected.keys()
    for name, text in expected.items():
        assert text in (messages[name] or ""), (name, messages[name])
