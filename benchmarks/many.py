"""Growth with the classes of a model, and with the files of a folder."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth import fit_power
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work
from keras_vit.benchmark.worker import ANSWER, peak_memory_mib
from keras_vit.tables import align

CLASSES = (1_000, 21_843, 100_000)
FILES = (10, 1_000, 10_000, 100_000)
_BATCH = 8


def measure_many(
    classes: Sequence[int] = CLASSES, files: Sequence[int] = FILES, model: str = "ViT_Ti16"
) -> dict[str, Any]:
    """Measures each point in a process of its own.

    Args:
        classes: numbers of classes of a model.
        files: numbers of small JPEG files in a folder of two classes.
        model: name of a variant.

    Returns:
        `classes`, a row for each number: `parameters`, `build_s`, `infer_s` and `train_s` of a
        batch of 8 (loss and accuracy are part of a step), `decode_s` of `decode_predictions` of 64
        rows, `mib` beyond the imports; and `files`: `scan_s` of `keras_vit.data.load`, which
        decodes each file, `first_batch_s` from there to the first batch of 32, `mib`.
    """
    result: dict[str, Any] = {"model": model, "machine": describe_machine()}
    result["classes"] = [_ask("classes", count, model) for count in classes]
    with tempfile.TemporaryDirectory() as name:
        result["files"] = []
        for count in files:
            _write_files(Path(name) / str(count), count)
            result["files"].append(_ask("files", count, str(Path(name) / str(count))))
    return result


def _ask(kind: str, count: int, what: str) -> dict[str, Any]:
    work, order = Work("keras_vit", "ViT_Ti16"), json.dumps([kind, count, what])
    with contextlib.closing(Worker(work, module=__name__, order=order)) as worker:
        return {kind: count, **worker.read()}


def _write_files(folder: Path, count: int) -> None:
    """Writes one picture of each class, and links to it for the others."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir(parents=True)
        pixels = draw.integers(0, 256, (64, 64, 3), "uint8")
        first = folder / name / "000000.jpg"
        Image.fromarray(pixels).resize((256, 192)).save(first, quality=85)
        for number in range(1, count // 2):
            os.link(first, folder / name / f"{number:06d}.jpg")


def serve(text: str) -> None:
    """Measures one point and answers.

    Args:
        text: JSON of the kind, the number, and the variant or the folder.
    """
    kind, count, what = json.loads(text)
    measure = _classes if kind == "classes" else _files
    print(ANSWER + json.dumps(measure(count, what)), flush=True)


def _seconds(run: Any, repeats: int = 3) -> float:
    run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def _classes(count: int, name: str) -> dict[str, float]:
    import keras

    import keras_vit

    imported = peak_memory_mib()
    start = time.perf_counter()
    model = getattr(keras_vit, name)(classes=count)
    built = time.perf_counter() - start
    model.compile("adamw", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    images = np.zeros((_BATCH, *model.input_shape[1:]), "float32")
    targets = keras.ops.one_hot(np.arange(_BATCH), count)
    rows = np.random.default_rng(0).random((64, count), "float32")
    names = [f"class {number}" for number in range(count)]
    return {
        "parameters": model.count_params(),
        "build_s": built,
        "infer_s": _seconds(lambda: model.predict_on_batch(images)),
        "train_s": _seconds(lambda: model.train_on_batch(images, targets)),
        "decode_s": _seconds(lambda: keras_vit.decode_predictions(rows, labels=names)),
        "mib": peak_memory_mib() - imported,
    }


def _files(count: int, folder: str) -> dict[str, float]:
    from keras_vit.data import load, training_batches
    from keras_vit.images.spec import Preprocessing

    imported, start = peak_memory_mib(), time.perf_counter()
    data = load(folder)
    scanned = time.perf_counter()
    batches = training_batches(
        data.train, Preprocessing(size=64), batch_size=min(32, count // 2), num_classes=2, seed=0
    )
    next(iter(batches))
    ended = time.perf_counter()
    return {
        "scan_s": scanned - start,
        "first_batch_s": ended - scanned,
        "mib": peak_memory_mib() - imported,
    }


def format_many(result: dict[str, Any]) -> str:
    """Formats what `measure_many` returned."""
    lines = []
    for kind in ("classes", "files"):
        rows = result[kind]
        names = list(rows[0])
        cells = [tuple(names)]
        cells += [
            tuple(f"{row[name]:,}" if isinstance(row[name], int) else f"{row[name]:.3f}"
                  for name in names)
            for row in rows
        ]  # fmt: skip
        lines += ["", *align(cells)]
        for name in names[1:]:
            if len(rows) > 1 and name != "parameters":
                counts, values = ([row[key] for row in rows[-2:]] for key in (kind, name))
                if min(values) > 0:
                    power = fit_power(counts, values)["exponent"]
                    lines.append(f"{name} ~ {kind}^{power:.2f} from {counts[0]:,} on")
    return "\n".join(lines[1:])
