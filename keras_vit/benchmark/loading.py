"""Time and memory of loading a checkpoint, beside the bare reading of its arrays."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from keras_vit.benchmark.worker import ANSWER, peak_memory_mib


def read_arrays(path: str) -> float:
    """Reads all arrays of an `.npz` with NumPy and keeps them.

    Args:
        path: the file.

    Returns:
        Seconds.
    """
    import numpy as np

    start = time.perf_counter()
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    seconds = time.perf_counter() - start
    kept.clear()
    return seconds


def load_model(model: str, path: str) -> float:
    """Loads a file into a model that is built already, checking all before the first assignment.

    Args:
        model: name of a variant.
        path: the file.

    Returns:
        Seconds.
    """
    import keras_vit

    built = getattr(keras_vit, model)()
    start = time.perf_counter()
    keras_vit.load_weights(built, path)
    return time.perf_counter() - start


def build_and_load(model: str, path: str) -> float:
    """Builds a model from a file.

    Args:
        model: name of a variant.
        path: the file.

    Returns:
        Seconds, those to build included.
    """
    import keras_vit

    start = time.perf_counter()
    getattr(keras_vit, model)(weights=path)
    return time.perf_counter() - start


MODES = {
    "read": lambda model, path: read_arrays(path),
    "load": load_model,
    "build": build_and_load,
    "write": lambda model, path: _write(model, path),
}


def _write(model: str, path: str) -> float:
    import keras_vit

    start = time.perf_counter()
    keras_vit.save_checkpoint(getattr(keras_vit, model)(), path, layout="google")
    return time.perf_counter() - start


def _run(mode: str, model: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "keras_vit.benchmark.loading", mode, model, str(path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    answers = [line for line in done.stdout.splitlines() if line.startswith(ANSWER)]
    if done.returncode or not answers:
        words = done.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"The benchmark of loading failed: {' '.join(words)}")
    return json.loads(answers[-1][len(ANSWER) :])


def measure_loading(model: str, *, repeats: int = 5) -> dict[str, Any]:
    """Measures a Google `.npz` of a variant, each run in a process of its own, in turn.

    Args:
        model: name of a variant that the Google layout can express.
        repeats: runs of each kind, after one that warms the disk cache.

    Returns:
        The size of the file in MiB; median seconds to read its arrays (`read_s`), to load them into
        a built model (`load_s`) and to build and load (`build_s`); and the most memory of the last
        as a multiple of the file (`build_peak_ratio`), libraries included.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        _run("write", model, path)
        size = path.stat().st_size / 2**20
        runs: dict[str, list[dict[str, float]]] = {"read": [], "load": [], "build": []}
        for repeat in range(repeats + 1):
            for mode, answers in runs.items():
                answer = _run(mode, model, path)
                if repeat:
                    answers.append(answer)
    figures = {
        f"{mode}_s": statistics.median(answer["seconds"] for answer in answers)
        for mode, answers in runs.items()
    }
    peak = max(answer["peak_mib"] for answer in runs["build"])
    return {"model": model, "file_mib": size, **figures, "build_peak_ratio": peak / size}


def format_loading(result: dict[str, Any]) -> str:
    """Formats what `measure_loading` returned.

    Args:
        result: its dictionary.

    Returns:
        One line.
    """
    return (
        f"{result['model']}.npz, {result['file_mib']:.0f} MiB: arrays read in "
        f"{result['read_s']:.2f} s, loaded in {result['load_s']:.2f} s "
        f"({result['load_s'] / result['read_s']:.2f} times), built and loaded in "
        f"{result['build_s']:.2f} s with a peak of {result['build_peak_ratio']:.2f} times the file"
    )


if __name__ == "__main__":
    import numpy  # noqa: F401  so that the time to read is not the time to import

    seconds = MODES[sys.argv[1]](sys.argv[2], sys.argv[3])
    print(ANSWER + json.dumps({"seconds": seconds, "peak_mib": peak_memory_mib()}), flush=True)
