"""Inference and training on one GPU beside timm, as a share of what the card can do."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.gpu_subjects import GpuWork
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.peers import TIMM_NAMES
from keras_vit.benchmark.runner import Worker, noting_failure
from keras_vit.checks import check_choice, nearest_names
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.cost import forward_flops
from keras_vit.models.variants import get_variant

# Dense bfloat16 operations a second, by a part of the device's name, special names first: NVIDIA's
# data sheets, whose figures "with sparsity" are halved.
PEAK_FLOPS = (
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("A100", 312e12),
)
TASKS = ("infer", "train")
_ACTIVATIONS_A_BATCH = 7e8  # tokens x width x depth that fit twice into 80 GB while training


def measure_gpu(
    *,
    models: Sequence[str] = ("ViT_B16", "ViT_L16", "ViT_H14"),
    sizes: Sequence[int] = (224, 384),
    dtype: str = "bfloat16",
    batch_sizes: Mapping[str, int] | int | None = None,
    repeats: int = 7,
    peak_flops: float | None = None,
    tasks: Sequence[str] = TASKS,
    peers: Sequence[str] | None = None,
    turn_s: float = 1.0,
    compile_mode: str = "default",
    class_token: bool = True,
    on_row: Callable[[dict[str, Any]], Any] | None = None,
) -> dict[str, Any]:
    """Measures our model on JAX beside timm on PyTorch, in turns, each in a process of its own.

    A turn is many steps, enqueued one after the other; images and weights stay on the device.
    In `"bfloat16"` inference has all weights in bfloat16, and training float32 weights and bfloat16
    products (Keras's `mixed_bfloat16`, PyTorch's autocast). A training step is forward pass,
    cross-entropy, backward pass and AdamW. It also runs where there is no GPU, to be tried; those
    figures are no comparison.

    Args:
        models: names of variants.
        sizes: of the images, in pixels; the largest multiple of the patch size that is not larger
            is taken.
        dtype: `"bfloat16"` or `"float32"` (which a GPU multiplies in TF32 on both sides).
        batch_sizes: images a step: one number, or one for each of `"infer"` and `"train"`; None
            takes the power of two up to 256 that suits a card of 80 GB.
        repeats: turns that count, after one that does not.
        peak_flops: operations a second of the device in `dtype`; None looks bfloat16 up in
            `PEAK_FLOPS`.
        tasks: of `TASKS`.
        peers: of `"timm"` and `"torch"` (PyTorch's own encoder layers); None is timm where it is
            installed, else torch where that is.
        turn_s: seconds that a turn takes at least, but for at most 200 steps.
        compile_mode: of `torch.compile` for the peers.
        class_token: whether the models have one, which makes the number of tokens odd. JAX trains
            through cuDNN's attention only with an even one (seen in 0.10.2; Keras goes on without
            it and says so in the log), so compare with False.
        on_row: called with each row when it is measured, for those who may not see the end.

    Returns:
        A dictionary that JSON can hold: `device`, `platform`, `driver`, `peak_flops` (or None),
        `dtype`, `machine`, `missing` (peers that are not installed) and `rows`, one for each model,
        size, task and subject: `batch_size`, `steps` a turn, `seconds` of each turn,
        `images_per_second` (median), `mfu`, the share of the peak that the model's own matrix
        products use (a training step counts three forward passes; None without a peak),
        `fused_attention`, `ready_s` (build and compilation), `peak_mib` on the device (or None) and
        `failure` (or None).

    Raises:
        ValueError: an unknown model, task, dtype or peer.
    """
    peers = _available_peers() if peers is None else list(peers)
    _check(models, dtype, tasks, peers)
    subjects = ["keras_vit", *(peer for peer in peers if _is_installed(peer))]
    rows: list[dict[str, Any]] = []
    ours: dict[str, Any] = {}
    for model, size, task in itertools.product(models, sizes, tasks):
        size -= size % get_variant(model).patch_size
        work = GpuWork("keras_vit", task, model, size, dtype, 1, compile_mode, class_token)
        work = dataclasses.replace(work, batch_size=_batch_size(batch_sizes, work))
        works = [dataclasses.replace(work, subject=subject) for subject in subjects]
        for work, measured in zip(works, _race(works, repeats, turn_s), strict=True):
            described = measured.pop("described")
            if work.subject == "keras_vit" and described:
                ours = described
                peak_flops = peak_flops or _known_peak(ours, dtype)
            rows.append(_row(work, measured, peak_flops))
            if on_row:
                on_row(rows[-1])
    return {
        "device": ours.get("device"),
        "platform": ours.get("platform"),
        "driver": _driver(),
        "peak_flops": peak_flops,
        "dtype": dtype,
        "machine": describe_machine() | {"backend": "jax"},
        "missing": [peer for peer in ("timm", *peers) if not _is_installed(peer)],
        "rows": rows,
    }


def peak_of(device: str) -> float | None:
    """Returns the dense bfloat16 operations a second of a device, or None if it is not known.

    Args:
        device: its name, such as `"NVIDIA H100 80GB HBM3"`.
    """
    return next((peak for part, peak in PEAK_FLOPS if part.lower() in device.lower()), None)


def _known_peak(described: Mapping[str, Any], dtype: str) -> float | None:
    on_gpu = described["platform"] == "gpu" and dtype == "bfloat16"
    return peak_of(described["device"]) if on_gpu else None


def _is_installed(peer: str) -> bool:
    return importlib.util.find_spec(peer) is not None


def _available_peers() -> list[str]:
    return [peer for peer in ("timm", "torch") if _is_installed(peer)][:1]


def _check(models: Sequence[str], dtype: str, tasks: Sequence[str], peers: Sequence[str]) -> None:
    for model in models:
        if model not in TIMM_NAMES:
            raise ValueError(
                "Expected `models` that timm has too. "
                f"Received: {model!r}. {nearest_names(model, TIMM_NAMES)}"
            )
    check_choice("dtype", dtype, ("bfloat16", "float32"))
    for task in tasks:
        check_choice("tasks", task, TASKS)
    for peer in peers:
        check_choice("peers", peer, ("timm", "torch"))


def _config(work: GpuWork) -> VisionTransformerConfig:
    return get_variant(work.model).replace(image_size=(work.size, work.size), **work.pooling)


def _batch_size(given: Mapping[str, int] | int | None, work: GpuWork) -> int:
    if given is not None:
        return given if isinstance(given, int) else given[work.task]
    config = _config(work)
    most = _ACTIVATIONS_A_BATCH / (config.num_tokens * config.hidden_size * config.num_layers)
    return 2 ** min(8, max(0, int(most).bit_length() - 1))


def _worker(work: GpuWork) -> Worker:
    """Starts a process that holds one model on the device."""
    return Worker(
        work,
        module="benchmarks.gpu_subjects",
        environment={
            "KERAS_BACKEND": "jax" if work.subject == "keras_vit" else "torch",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # two processes share the memory
        },
    )


def _race(works: Sequence[GpuWork], repeats: int, turn_s: float) -> list[dict[str, Any]]:
    """Times works in turn; one that fails is left out from then on, and its figures say why."""
    figures = [
        {"described": {}, "fused_attention": None, "ready_s": None, "steps": 0, "seconds": [],
         "peak_mib": None, "failure": None}
        for _ in works
    ]  # fmt: skip
    workers: list[Worker] = []
    try:
        for work, measured in zip(works, figures, strict=True):
            workers.append(_worker(work))
            with noting_failure(measured):
                _prepare(workers[-1], measured, turn_s)
        for repeat in range(repeats + 1):
            for worker, measured in zip(workers, figures, strict=True):
                if not measured["failure"]:
                    with noting_failure(measured):
                        _turn(worker, measured, repeat > 0)
    finally:
        for worker in workers:
            worker.close()
    return figures


def _prepare(worker: Worker, measured: dict[str, Any], turn_s: float) -> None:
    """Waits until a model is compiled and finds out how many steps fill a turn."""
    described = worker.read()
    measured["fused_attention"] = described.pop("fused_attention")
    measured["ready_s"] = described.pop("ready_s")
    measured["described"] = described
    for _ in range(2):  # the first may still compile
        seconds = worker.ask("2")["seconds"] / 2
    measured["steps"] = min(200, max(1, round(turn_s / seconds)))


def _turn(worker: Worker, measured: dict[str, Any], counts: bool) -> None:
    answer = worker.ask(str(measured["steps"]))
    measured["peak_mib"] = answer["peak_mib"]
    if counts:
        measured["seconds"].append(answer["seconds"])


def _row(work: GpuWork, measured: dict[str, Any], peak_flops: float | None) -> dict[str, Any]:
    """Puts a work and its figures together, with images a second and the share of the peak."""
    rate = mfu = None
    if measured["seconds"] and not measured["failure"]:
        rate = work.batch_size * measured["steps"] / statistics.median(measured["seconds"])
        passes = 3 if work.task == "train" else 1
        flops = passes * forward_flops(_config(work))
        mfu = rate * flops / peak_flops if peak_flops else None
    return dataclasses.asdict(work) | measured | {"images_per_second": rate, "mfu": mfu}


def _driver() -> str | None:
    """Returns what nvidia-smi says of the first card and its driver, or None without it."""
    query = "--query-gpu=name,driver_version,memory.total,power.limit"
    try:
        result = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(result.stdout.strip().splitlines()), None)
