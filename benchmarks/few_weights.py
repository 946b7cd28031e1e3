"""What is saved where little is trained, and where kernels are quantised: memory, time, agreement.

Every row is measured in a process of its own, one after the other.
"""

from __future__ import annotations

import contextlib
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.agreement import agreement
from benchmarks.growth import time_runs
from keras_vit.benchmark import subjects
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work
from keras_vit.tables import align

TRAINED: dict[str, Callable[[Any], None]] = {
    "all": lambda model: None,
    "upper half": lambda model: model.freeze("embedding", blocks=_lower_half(model)),
    "LoRA 8, all matrices": lambda model: model.enable_lora(8, "qkv,output,mlp"),
    "LoRA 8": lambda model: model.enable_lora(8),
    "head": lambda model: model.freeze("backbone"),
}
"""What is trained, by its name in the table."""

MODES = ("float32", "int8", "int4", "float8")
_TRAINING, _QUANTIZED = (
    f"benchmarks.few_weights:build_{kind}" for kind in ("training", "quantized")
)
_MIB = 2**20


def _lower_half(model: Any) -> range:
    return range(model.config.num_layers // 2)


def build_training(work: Work) -> subjects.Subject:
    """Builds a variant of which the part `trained` of the options is trained."""
    options = dict(work.options)
    trained = TRAINED[options.pop("trained")]
    model = _variant(work, **options)
    trained(model)
    size = model.config.image_size
    return subjects.keras_subject(model, *subjects.random_batch(work.batch_size, size))


def build_quantized(work: Work) -> subjects.Subject:
    """Builds a variant quantised to the `mode` of the options, or opens the `file` of one."""
    import keras

    if file := work.options.get("file"):
        model = keras.saving.load_model(file)
    else:
        model = quantized(_variant(work), work.options["mode"])
    size = model.config.image_size
    return subjects.keras_subject(model, *subjects.random_batch(work.batch_size, size))


def quantized(model: Any, mode: str) -> Any:
    """Returns the model itself, its kernels in a mode of `MODES`."""
    if mode != MODES[0]:
        model.quantize(mode)
    return model


def _variant(work: Work, **options: Any) -> Any:
    from keras_vit.applications import factories

    subjects.set_keras_policy(work.dtype)
    return getattr(factories, work.model)(classes=1000, classifier_activation=None, **options)


def count_trained(model: str, trained: str, **options: Any) -> int:
    """Returns how many values of a variant a row of `TRAINED` trains."""
    built = _variant(Work("", model), **options)
    TRAINED[trained](built)
    return int(sum(np.prod(variable.shape) for variable in built.trainable_variables))


def measure_training(
    model: str = "ViT_B16",
    *,
    batch_size: int = 8,
    repeats: int = 3,
    dtype: str = "float32",
    **options: Any,
) -> dict[str, Any]:
    """Measures a step of AdamW with more and less of a model trained.

    Args:
        model: name of a variant.
        batch_size: images a step.
        repeats: timed steps at least, after one that warms up.
        dtype: as of `Work`.
        **options: of the factory of the variant.

    Returns:
        A dictionary that JSON can hold: `model`, `batch_size`, `dtype`, `machine` and `rows`, each
        with `trained`, `parameters` that are trained, `step_s` (median) and `peak_mib`, the most
        held beyond what the imports take.
    """
    rows = []
    for trained in TRAINED:
        work = Work(_TRAINING, model, dtype, batch_size, {**options, "trained": trained})
        with contextlib.closing(Worker(work)) as worker:
            imported = worker.read()["imported_mib"]
            seconds, peak = time_runs(worker, "train", repeats)
        rows.append(
            {
                "trained": trained,
                "parameters": count_trained(model, trained, **options),
                "step_s": statistics.median(seconds),
                "peak_mib": peak - imported,
            }
        )
    described = {"model": model, "batch_size": batch_size, "dtype": dtype}
    return {**described, "machine": describe_machine(), "rows": rows}


def measure_quantized(
    model: str = "ViT_B16",
    *,
    modes: Sequence[str] = MODES,
    batch_size: int = 8,
    repeats: int = 3,
) -> dict[str, Any]:
    """Measures a variant of random weights in modes of `model.quantize`.

    Args:
        model: name of a variant.
        modes: of `MODES`.
        batch_size: images a batch.
        repeats: timed batches at least, after one that warms up.

    Returns:
        A dictionary that JSON can hold: `model`, `batch_size`, `machine` and `rows`, each with
        `mode`, `weights_mib` of all variables, `file_mib` of the `.keras` file, `load_mib` and
        `infer_mib`, the most that a process holds which has opened the file, and has run batches,
        beyond what the imports take, and `infer_s` (median).
    """
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for mode in modes:
            file = pathlib.Path(scratch) / f"{mode}.keras"
            built = quantized(_variant(Work("", model)), mode)
            built.save(file)
            weights = sum(np.asarray(weight).nbytes for weight in built.weights)
            del built
            options = {"file": str(file)}
            work = Work(_QUANTIZED, model, "float32", batch_size, options)
            with contextlib.closing(Worker(work)) as worker:
                imported = worker.read()["imported_mib"]
                seconds, peak = time_runs(worker, "infer", repeats)
            rows.append(
                {
                    "mode": mode,
                    "weights_mib": weights / _MIB,
                    "file_mib": file.stat().st_size / _MIB,
                    "infer_mib": peak - imported,
                    "infer_s": statistics.median(seconds),
                }
            )
            file.unlink()
    described = {"model": model, "batch_size": batch_size}
    return {**described, "machine": describe_machine(), "rows": rows}


def measure_agreement(
    path: str, images: np.ndarray, labels: Any, modes: Sequence[str] = MODES
) -> list[dict[str, Any]]:
    """Says what a trained model says in each mode, beside what it says in float32.

    Args:
        path: its `.keras` file.
        images: as it takes them, (count, height, width, channels).
        labels: the true class of each image.
        modes: of `MODES`.

    Returns:
        For each mode `mode` and what `benchmarks.agreement.agreement` returns.
    """
    import keras

    from keras_vit.export.exportable import Exportable

    expected, rows = None, []
    for mode in modes:
        found = Exportable(quantized(keras.saving.load_model(path), mode)).outputs(images)
        expected = expected or found
        rows.append({"mode": mode, **agreement(expected, found, labels)})
    return rows


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows of one measurement as a table."""

    def cell(value):
        if isinstance(value, float):
            return f"{value:.4g}"
        return f"{value:,}" if isinstance(value, int) else value

    names = list(rows[0])
    return "\n".join(align([names, *([cell(row[name]) for name in names] for row in rows)]))
