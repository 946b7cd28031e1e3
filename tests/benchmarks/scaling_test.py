"""Steps shared by replicas and workers: figures, failures, and the bytes of two real workers."""

import functools
import json
import statistics

import pytest

from benchmarks import scaling, scaling_workers
from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work

TINY = {"input_shape": [32, 32, 3], "num_layers": 1}


@pytest.fixture
def no_processes(monkeypatch):
    """Stands in for processes: a step of n takes n seconds, workers send a million bytes."""
    sent, closed = [0], []

    class FakeGroup:
        def __init__(self, work, strategy, count):
            self.strategy, self.count = strategy, count

        def read(self):
            if self.strategy == "mirrored":
                raise RuntimeError("no such device")

        def step(self, count):
            if self.strategy == "multi_worker":
                sent[0] += count * 10**6
            return float(self.count)

        def close(self):
            closed.append(self.strategy)

    monkeypatch.setattr(scaling, "Group", FakeGroup)
    monkeypatch.setattr(scaling, "loopback_bytes", lambda: sent[0])
    return closed


def test_figures_of_every_setting(no_processes):
    seen = []
    result = scaling.measure_scaling(
        model="ViT_Ti16", batch_size=4, repeats=2, options=TINY, progress=seen.append
    )
    assert seen == list(scaling.SETTINGS) == list(result["settings"])
    assert no_processes == ["none", "mirrored", "multi_worker", "multi_worker"]
    workers = result["settings"]["2 workers"]
    assert workers["step_s"] == [2.0, 2.0] and workers["loopback_bytes"] == [1e6, 1e6]
    # two workers send all gradients once each
    assert workers["predicted_bytes"] == 2 * 4 * result["parameters"]
    assert result["settings"]["1 worker"]["predicted_bytes"] == 0
    failed = result["settings"]["2 replicas"]
    assert failed["failure"] == "no such device" and failed["step_s"] == []
    json.dumps(result, allow_nan=False)


def test_the_table_compares_with_the_first_and_says_what_failed(no_processes):
    result = scaling.measure_scaling(model="ViT_Ti16", batch_size=4, repeats=1, options=TINY)
    row = {"model": "ViT_B16", "step_s": 0.5, "gradient_bytes": 1e9, "workers": 8,
           "sent_bytes": 1.75e9, "gbit_per_second": 100, "speedup": 4.0}  # fmt: skip
    lines = scaling.format_scaling(result, [row]).splitlines()
    cells = {line[:10].strip(): line[10:].split() for line in lines}
    assert cells["2 workers"][:4] == ["2.000", "2.000-2.000", "2.00", "1.0"]
    assert "2 replicas: no such device" in lines
    assert lines[-1].split() == ["ViT_B16", "0.500", "8", "100", "1,750", "4.0", "50%"]


def test_systems_without_counters_have_no_bytes(no_processes, monkeypatch):
    monkeypatch.setattr(scaling, "loopback_bytes", lambda: None)
    settings = {"1 replica": ("none", 1)}
    result = scaling.measure_scaling(
        model="ViT_Ti16", batch_size=1, repeats=1, options=TINY, settings=settings
    )
    assert result["settings"]["1 replica"]["loopback_bytes"] is None
    assert scaling.format_scaling(result, []).splitlines()[2].split()[-2:] == ["-", "0.0"]


def test_a_batch_that_cannot_be_shared_is_refused(no_processes):
    with pytest.raises(ValueError, match="share evenly for '2 replicas'. Received: batch_size=3"):
        scaling.measure_scaling(batch_size=3)
    assert no_processes == []


@pytest.mark.slow
def test_two_workers_send_what_is_predicted():
    settings = {"2 workers": ("multi_worker", 2)}
    result = scaling.measure_scaling(
        model="ViT_Ti16", batch_size=2, repeats=3, options=TINY, settings=settings
    )
    figures = result["settings"]["2 workers"]
    assert figures["failure"] is None and len(figures["step_s"]) == 3
    if figures["loopback_bytes"] is not None:
        # headers and metrics come on top; other programs may add to a round, not to each
        assert 1 <= min(figures["loopback_bytes"]) / figures["predicted_bytes"] < 1.1
        assert statistics.median(figures["step_s"]) > 0


# Of two processes the first fails; the other waits for it.
MEMBERS = """
import json, os, sys

def serve(text):
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0:
        raise ValueError(json.loads(text)["work"]["model"])
    sys.stdin.read()
"""


def test_a_group_that_fails_says_so_and_ends(monkeypatch, tmp_path):
    (tmp_path / "members.py").write_text(MEMBERS)
    monkeypatch.syspath_prepend(tmp_path)
    start = functools.partial(Worker, module="members")
    monkeypatch.setattr(scaling_workers, "Worker", lambda work, module, **rest: start(work, **rest))
    group = scaling_workers.Group(Work("keras_vit", "ViT_None"), "multi_worker", 2)
    try:
        with pytest.raises(RuntimeError, match="failed with exit status 1: .*ViT_None"):
            group.read()
    finally:
        group.close()
