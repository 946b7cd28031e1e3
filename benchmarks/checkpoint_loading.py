"""Time and memory of loading a checkpoint, beside the bare reading of its arrays."""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work
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


def write(model: str, path: str) -> dict[str, float]:
    """Writes a checkpoint of a variant with initial values.

    Args:
        model: name of a variant.
        path: the file.

    Returns:
        Nothing measured.
    """
    import keras_vit

    keras_vit.save_checkpoint(getattr(keras_vit, model)(), path, layout="google")
    return {}


def load(model: str, path: str) -> dict[str, float]:
    """Reads the arrays of a file, and loads it into a model that is built already.

    Args:
        model: name of a variant.
        path: the file.

    Returns:
        Seconds of both, and of the building; loading checks all values before the first assignment.
    """
    import keras_vit

    build = getattr(keras_vit, model)
    start = time.perf_counter()
    built = build()
    fresh_s = time.perf_counter() - start
    read_arrays(path)  # the first who asks for so much memory waits for it
    read_s = read_arrays(path)
    start = time.perf_counter()
    keras_vit.load_weights(built, path)
    return {"read_s": read_s, "load_s": time.perf_counter() - start, "fresh_s": fresh_s}


def build(model: str, path: str) -> dict[str, float]:
    """Builds a model from a file.

    Args:
        model: name of a variant.
        path: the file.

    Returns:
        Seconds, those to build included, and the most memory held, in MiB.
    """
    import keras_vit

    make = getattr(keras_vit, model)
    start = time.perf_counter()
    make(weights=path)
    return {"build_s": time.perf_counter() - start, "peak_mib": peak_memory_mib()}


MODES = {"write": write, "load": load, "build": build}


def _run(mode: str, model: str, path: Path) -> dict[str, float]:
    order = json.dumps([mode, model, str(path)])
    work = Work("keras_vit", model)
    with contextlib.closing(Worker(work, module=__name__, order=order)) as worker:
        return worker.read()


def measure_loading(model: str, *, repeats: int = 5) -> dict[str, Any]:
    """Measures a Google `.npz` of a variant, each run in a process of its own, in turn.

    Args:
        model: name of a variant that the Google layout can express.
        repeats: processes of each kind, after one that warms the disk cache.

    Returns:
        The size of the file in MiB; median seconds to read its arrays (`read_s`), to load them into
        a built model (`load_s`), to build it with initial values (`fresh_s`) and to build and load
        (`build_s`); and the most memory of the last as a multiple of the file
        (`build_peak_ratio`), libraries included.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        _run("write", model, path)
        size = path.stat().st_size / 2**20
        runs = []
        for repeat in range(repeats + 1):
            answer = {**_run("load", model, path), **_run("build", model, path)}
            if repeat:
                runs.append(answer)
    figures = {
        name: statistics.median(run[name] for run in runs)
        for name in ("read_s", "load_s", "fresh_s", "build_s", "peak_mib")
    }
    ratio = figures.pop("peak_mib") / size
    return {"model": model, "file_mib": size, **figures, "build_peak_ratio": ratio}


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
        f"({result['load_s'] / result['read_s']:.2f} times), built in {result['fresh_s']:.2f} s, "
        f"built and loaded in "
        f"{result['build_s']:.2f} s with a peak of {result['build_peak_ratio']:.2f} times the file"
    )


def serve(text: str) -> None:
    """Runs one mode and answers with what it measured.

    Args:
        text: JSON of the mode, the variant and the file.
    """
    mode, model, path = json.loads(text)
    print(ANSWER + json.dumps(MODES[mode](model, path)), flush=True)
