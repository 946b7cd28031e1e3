"""Times subjects in turn, so that all of them see the same weather on the machine."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

from keras_vit.benchmark.flops import forward_flops
from keras_vit.benchmark.subjects import MATRIX_PRODUCT, available_peers
from keras_vit.benchmark.worker import ANSWER


class Worker:
    """A process that holds one subject.

    Args:
        subject: a key of `SUBJECTS`.
        model: name of a variant, or a file.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`.
        batch_size: images a batch.
    """

    def __init__(self, subject: str, model: str, dtype: str, batch_size: int):
        self.subject = subject
        code = "import sys; from keras_vit.benchmark.worker import serve; "
        code += "serve(*sys.argv[1:4], int(sys.argv[4]))"
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if subject == "timm":  # TensorFlow and PyTorch in one process may crash
            environment["KERAS_BACKEND"] = "torch"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, subject, model, dtype, str(batch_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def read(self) -> dict[str, float]:
        """Waits for the next answer.

        Raises:
            RuntimeError: the process ended; the error carries its last words.
        """
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line[len(ANSWER) :])
        words = self._process.stderr.read().strip().splitlines()[-1:]
        status = self._process.wait()
        raise RuntimeError(
            f"The benchmark of {self.subject!r} failed with exit status {status}: {' '.join(words)}"
        )

    def ask(self, command: str) -> dict[str, float]:
        """Runs one command and returns its answer."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


@dataclasses.dataclass
class Figures:
    """What was measured of one subject.

    Attributes:
        subject: a key of `SUBJECTS`.
        build_s: seconds to build the model, its library imported before.
        first_call_s: seconds of the first inference, compilation included.
        infer_s: seconds of each timed inference.
        train_s: seconds of each timed training step.
        infer_peak_mib: most memory held up to the last inference, in MiB.
        train_peak_mib: most memory held up to the last training step, in MiB.
    """

    subject: str
    build_s: float = 0.0
    first_call_s: float = 0.0
    infer_s: list[float] = dataclasses.field(default_factory=list)
    train_s: list[float] = dataclasses.field(default_factory=list)
    infer_peak_mib: float = 0.0
    train_peak_mib: float = 0.0


def measure(
    model: str,
    *,
    dtype: str = "float32",
    batch_size: int = 8,
    repeats: int = 5,
    train: bool = True,
    peers: list[str] | None = None,
) -> dict[str, Any]:
    """Measures one model, its peers and the machine's matrix product in one run, interleaved.

    Args:
        model: name of a variant.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; the latter two as Keras's mixed policies.
        batch_size: images a batch.
        repeats: timed inferences and training steps of each subject, after one warm-up.
        train: whether training steps are timed too.
        peers: subjects beside ours; None takes those that are installed.

    Returns:
        A dictionary that JSON can hold: the work, the machine and the figures of each subject.
    """
    from keras_vit.variants import get_variant

    peers = available_peers(model) if peers is None else peers
    names = ["keras_vit", *peers]
    limit = Worker("matrix_product", model, dtype, batch_size)
    limit.read()
    limit.ask("infer")
    limit_flops = matrix_product_flops()
    limits: list[float] = []
    workers: dict[str, Worker] = {}
    figures: dict[str, Figures] = {}
    try:
        for name in names:  # one at a time: building is timed too
            workers[name] = Worker(name, model, dtype, batch_size)
            figures[name] = Figures(name, build_s=workers[name].read()["build_s"])
            figures[name].first_call_s = workers[name].ask("infer")["seconds"]
        for command in ("infer", "train") if train else ("infer",):
            for name in names:
                workers[name].ask(command)
            for _ in range(repeats):
                limits.append(limit_flops / limit.ask("infer")["seconds"])
                for name in names:
                    answer = workers[name].ask(command)
                    getattr(figures[name], f"{command}_s").append(answer["seconds"])
                    setattr(figures[name], f"{command}_peak_mib", answer["peak_mib"])
    finally:
        for worker in (limit, *workers.values()):
            worker.close()
    return {
        "model": model,
        "dtype": dtype,
        "batch_size": batch_size,
        "gflop_per_image": forward_flops(get_variant(model)) / 1e9,
        "machine": describe_machine(),
        "matrix_product_gflops": statistics.median(limits) / 1e9,
        "subjects": [dataclasses.asdict(figures[name]) for name in names],
    }


def matrix_product_flops() -> int:
    """Returns the operations of one `infer` of the subject `matrix_product`."""
    rows, inner, columns = MATRIX_PRODUCT
    return 8 * 2 * rows * inner * columns


def measure_imports(repeats: int = 5) -> dict[str, float]:
    """Measures `import tensorflow` and `import keras_vit`, each in fresh processes, in turn.

    Args:
        repeats: processes of each.

    Returns:
        The median seconds of each, interpreter start included.
    """
    seconds: dict[str, list[float]] = {"tensorflow": [], "keras_vit": []}
    for repeat in range(repeats + 1):
        for module, measured in seconds.items():
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", f"import {module}"], check=True, capture_output=True
            )
            if repeat:  # the first of each only warms the disk cache
                measured.append(time.perf_counter() - start)
    return {module: statistics.median(measured) for module, measured in seconds.items()}


def describe_machine() -> dict[str, Any]:
    """Describes what the figures were measured on: processor, cores, versions."""
    from importlib import metadata

    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        processor = named[0] if named else processor
    except OSError:
        pass
    versions = {}
    for package in (
        "tensorflow",
        "keras",
        "jax",
        "keras-hub",
        "timm",
        "torch",
        "ai-edge-litert",
        "onnxruntime",
        "openvino",
    ):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor,
        "cores": cores,
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "python": platform.python_version(),
        "versions": versions,
    }
