"""A folder of photos through a model: evaluation and prediction beside model and decoding alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import write_photos
from benchmarks.subjects import load_subject_model
from keras_vit.benchmark.machine import describe_machine
from keras_vit.tables import align


def measure_folder(
    model: str = "ViT_B16", *, photos: int = 240, batch_size: int = 8, repeats: int = 2
) -> dict[str, Any]:
    """Times passes over photos of usual sizes, all ways in turn.

    Args:
        model: name of a variant.
        photos: how many JPEG files; a multiple of `batch_size`.
        batch_size: images at a time.
        repeats: passes of each kind, after one that warms up.

    Returns:
        Seconds of a pass by what it is, medians: `model` (one batch in memory again and again),
        `decode` and `read` (the pictures alone, as `evaluate` and as `classify_files` prepare
        them), `evaluate` and `classify`; and for both `share`, its speed as a share of that of the
        slower of its two halves alone.
    """
    from keras_vit.data import load
    from keras_vit.data.pipeline import evaluation_batches
    from keras_vit.evaluation import evaluate
    from keras_vit.export import classify_files
    from keras_vit.images.pillow_decoding import load_image
    from keras_vit.images.reading import read_ahead

    built = load_subject_model(model)
    kept = [str(number) for number in range(1000)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder, photos)
        paths = sorted(folder.rglob("*.jpg"))
        split = load(folder, held_out_fraction=0.5).train
        split = type(split)("all", photos, _of(paths), images_are_paths=True, shuffle_buffer=photos)
        images = np.stack([load_image(path, built) for path in paths[:batch_size]])

        def decode():
            for _ in evaluation_batches(
                split, built.preprocessing, batch_size=batch_size, num_classes=1000
            ):
                pass

        def read():
            for _ in read_ahead(paths, lambda path: load_image(path, built), batch_size):
                pass

        runs = {
            "model": lambda: [built.predict_on_batch(images) for _ in range(photos // batch_size)],
            "decode": decode,
            "read": read,
            "evaluate": lambda: evaluate(built, split, kept, batch_size=batch_size),
            "classify": lambda: list(classify_files(built, paths, batch_size=batch_size)),
        }
        seconds = _passes(runs, repeats)
    return {
        "model": model,
        "photos": photos,
        "batch_size": batch_size,
        "machine": describe_machine(),
        "seconds": seconds,
        "share": {
            whole: max(seconds["model"], seconds[alone]) / seconds[whole]
            for whole, alone in (("evaluate", "decode"), ("classify", "read"))
        },
    }


def _of(paths: list[Path]) -> Callable[[], Any]:
    def references():
        import tensorflow as tf

        labels = np.zeros(len(paths), np.int64)
        return tf.data.Dataset.from_tensor_slices({"image": list(map(str, paths)), "label": labels})

    return references


def _passes(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def format_folder(result: dict[str, Any]) -> str:
    """Formats what `measure_folder` returned."""
    photos = result["photos"]
    rows = [("pass", "img/s", "of the slower half")]
    for name, seconds in result["seconds"].items():
        share = result["share"].get(name)
        rows.append((name, f"{photos / seconds:.1f}", "" if share is None else f"{share:.2f}"))
    return "\n".join([f"{result['model']}, {photos} photos", *align(rows)])
