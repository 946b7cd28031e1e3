"""The harness for a GPU, on what the tests have: made-up answers, and JAX on the processor."""

import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import gpu
from keras_vit.models.cost import forward_flops
from keras_vit.models.variants import get_variant

ROOT = pathlib.Path(__file__).parents[2]
DEVICE = {"device": "NVIDIA H100 80GB HBM3", "platform": "gpu", "versions": {}}


class FakeWorker:
    """A step takes a tenth of a second for ours and two for the others; small ones fail."""

    started, asked = [], []

    def __init__(self, work):
        self.work, self.turns = work, 0
        self.started.append(work)

    def read(self):
        if self.work.model == "ViT_Ti16":
            raise RuntimeError("out of memory")
        return {**DEVICE, "fused_attention": self.work.task == "infer", "ready_s": 2.0}

    def ask(self, command):
        self.asked.append((self.work.subject, command))
        self.turns += 1
        if self.work.model == "ViT_S16" and self.turns > 4:
            raise RuntimeError("lost the device")
        each = 0.1 if self.work.subject == "keras_vit" else 0.2
        return {"seconds": int(command) * each, "peak_mib": 10.0, "value": 1.0}

    def close(self):
        pass


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.setattr(FakeWorker, "started", [])
    monkeypatch.setattr(FakeWorker, "asked", [])
    monkeypatch.setattr(gpu, "_worker", FakeWorker)
    monkeypatch.setattr(gpu, "_is_installed", lambda peer: peer == "timm")
    monkeypatch.setattr(gpu, "_driver", lambda: "a driver")
    return FakeWorker


def test_rates_are_shares_of_the_peak(workers):
    seen = []
    result = gpu.measure_gpu(
        models=["ViT_B16"], sizes=[384], batch_sizes={"infer": 6, "train": 3}, repeats=2,
        on_row=seen.append,
    )  # fmt: skip
    assert result["device"] == DEVICE["device"] and result["peak_flops"] == 989e12
    assert result["missing"] == [] and result["rows"] == seen
    rows = {(row["subject"], row["task"]): row for row in seen}
    assert len(rows) == 4
    flops = forward_flops(get_variant("ViT_B16").replace(image_size=384))
    for (subject, task), row in rows.items():
        step = 0.1 if subject == "keras_vit" else 0.2
        assert row["images_per_second"] == pytest.approx((6 if task == "infer" else 3) / step)
        passes = 1 if task == "infer" else 3
        expected = row["images_per_second"] * passes * flops / 989e12
        assert row["mfu"] == pytest.approx(expected)
        assert row["steps"] == round(1 / step) and len(row["seconds"]) == 2
        assert row["fused_attention"] is (task == "infer") and row["failure"] is None
    # Each is warmed up, then they take turns, the first of which does not count.
    assert workers.asked[:10] == [
        ("keras_vit", "2"), ("keras_vit", "2"), ("timm", "2"), ("timm", "2"),
        ("keras_vit", "10"), ("timm", "5"), ("keras_vit", "10"), ("timm", "5"),
        ("keras_vit", "10"), ("timm", "5"),
    ]  # fmt: skip


def test_what_fails_says_why_and_the_others_go_on(workers):
    result = gpu.measure_gpu(
        models=["ViT_Ti16", "ViT_S16", "ViT_B16"], sizes=[224], tasks=["train"], repeats=3,
        peers=["timm", "torch"], peak_flops=1e12,
    )  # fmt: skip
    failures = [row["failure"] for row in result["rows"] if row["subject"] == "keras_vit"]
    assert failures == ["out of memory", "lost the device", None]
    assert [row["mfu"] is None for row in result["rows"]] == [True] * 4 + [False] * 2
    assert result["missing"] == ["torch"] and result["peak_flops"] == 1e12
    assert {work.subject for work in workers.started} == {"keras_vit", "timm"}


def test_without_a_class_token_the_work_is_less(workers):
    result = gpu.measure_gpu(
        models=["ViT_B16"], sizes=[224], tasks=["infer"], batch_sizes=8, repeats=1,
        class_token=False,
    )  # fmt: skip
    config = get_variant("ViT_B16").replace(class_token=False, pooling="gap")
    row = result["rows"][0]
    assert row["class_token"] is False
    assert row["mfu"] == pytest.approx(row["images_per_second"] * forward_flops(config) / 989e12)


def test_batches_suit_the_memory(workers):
    gpu.measure_gpu(peers=[], tasks=["train"], repeats=1)
    assert [work.batch_size for work in workers.started] == [256, 128, 128, 32, 64, 16]
    assert [work.size for work in workers.started] == [224, 384, 224, 384, 224, 378]


@pytest.mark.parametrize(
    "wrong",
    [{"models": ["ViT_B17"]}, {"dtype": "int8"}, {"tasks": ["rest"]}, {"peers": ["keras_hub"]}],
)
def test_wrong_arguments_are_refused(workers, wrong):
    with pytest.raises(ValueError, match="Expected.*Received"):
        gpu.measure_gpu(**wrong)
    assert not workers.started


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("cpu", None),
    ],
)
def test_peaks_of_known_devices(device, peak):
    assert gpu.peak_of(device) == peak


# What a machine with a GPU may lack; the workers inherit it by `sitecustomize`.
BLOCKER = """
import importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in {"tensorflow", "tensorflow_datasets", "keras_cv", "sklearn",
                                      "huggingface_hub", "pooch", "matplotlib", "tensorboard"}:
            raise ModuleNotFoundError(f"No module named {fullname!r} (blocked by the test)")

sys.meta_path.insert(0, Blocker())
"""
PROGRAM = """
try:
    import tensorflow
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("TensorFlow is there")
from benchmarks.gpu import measure_gpu
from benchmarks.gpu_report import format_gpu

result = measure_gpu(models=["ViT_Ti16"], sizes=[32], batch_sizes=2, repeats=2, peers=[], turn_s=0)
print(format_gpu(result))
assert result["device"] == "cpu" and result["platform"] == "cpu", result
assert result["peak_flops"] is None and len(result["rows"]) == 2, result
for row in result["rows"]:
    assert row["failure"] is None, row
    assert row["images_per_second"] > 0 and row["mfu"] is None and len(row["seconds"]) == 2
    assert row["fused_attention"] is False and row["peak_mib"] is None
"""


@pytest.mark.slow
def test_it_runs_on_jax_alone(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
