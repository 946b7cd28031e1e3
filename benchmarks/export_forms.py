"""Every exported form in its own runtime, side by side: how well it agrees and how fast it is."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.agreement import agreement
from benchmarks.subjects import EXPORTED, OF_A_FILE, load_subject_model
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import Worker, matrix_product_flops
from keras_vit.benchmark.table import rate_cells
from keras_vit.benchmark.work import Work
from keras_vit.models.cost import forward_flops
from keras_vit.tables import align


@dataclasses.dataclass(frozen=True)
class Form:
    """One row of the comparison.

    Attributes:
        name: as the table shows it.
        file: what the export writes; forms with the same file share it.
        dtype: what the runtime calculates in, where it can be told.
        quantize: of a LiteRT file.
        needs: the package without which the form is left out.
    """

    name: str
    file: str
    dtype: str = "float32"
    quantize: str | None = None
    needs: str = "tensorflow"


FORMS = (
    Form("saved_model", "saved_model"),
    Form("litert", "float32.tflite", needs="ai_edge_litert"),
    Form("litert float16", "float16.tflite", quantize="float16", needs="ai_edge_litert"),
    Form("litert int8", "int8.tflite", quantize="int8", needs="ai_edge_litert"),
    Form("litert int8_static", "static.tflite", quantize="int8_static", needs="ai_edge_litert"),
    Form("onnx", "model.onnx", needs="tf2onnx"),
    Form("openvino", "model.xml", needs="openvino"),
    Form("openvino bfloat16", "model.xml", "bfloat16", needs="openvino"),
)


def available_forms() -> list[Form]:
    """Returns the forms whose tools are installed."""
    return [form for form in FORMS if importlib.util.find_spec(form.needs)]


def measure_exported(
    model: str,
    images: np.ndarray,
    *,
    labels: Any = None,
    representative: np.ndarray | None = None,
    batch_size: int = 8,
    repeats: int = 5,
    forms: list[Form] | None = None,
) -> dict[str, Any]:
    """Exports a model in every form, compares each with it, and times all of them in turn.

    Args:
        model: name of a variant, which gets random weights, or a `.keras` file.
        images: prepared as the model takes them, (count, height, width, channels); all forms are
            compared on these.
        labels: the true class of each image, or None.
        representative: prepared images for static quantisation; None takes `images`.
        batch_size: images a batch; LiteRT files are made for it.
        repeats: timed inferences of each, after two others.
        forms: of `FORMS`; None for those whose tools are installed.

    Returns:
        A dictionary that JSON can hold: the work, the machine, and `rows`, the Keras model first,
        each with `agreement` (see `benchmarks.agreement.agreement`), `size_mb`, `export_s`,
        `load_s`, `infer_s` and `memory_mib`, the most held beyond the imports.
    """
    forms = available_forms() if forms is None else forms
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        built = load_subject_model(model)
        built.save(folder / "model.keras")
        rows = _compare(built, forms, folder, images, labels, representative, batch_size)
        config = built.config
        del built
        limit = _time(rows, folder, batch_size, repeats)
    return {
        "model": model,
        "batch_size": batch_size,
        "images": len(images),
        "gflop_per_image": forward_flops(config) / 1e9,
        "matrix_product_gflops": limit,
        "machine": describe_machine(),
        "rows": rows,
    }


def _compare(model, forms, folder, images, labels, representative, batch_size) -> list[dict]:
    from keras_vit.export import open_exported
    from keras_vit.export.exportable import Exportable

    def outputs(run):
        parts = [run(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    expected = outputs(lambda batch: Exportable(model).outputs(batch))
    rows = [_row("keras", folder / "model.keras", "float32", 0.0)]
    rows[0]["agreement"] = agreement(expected, expected, labels)
    written: dict[str, float] = {}
    for form in forms:
        path = folder / form.file
        if form.file not in written:
            written[form.file] = _export(
                model, form, path, batch_size, images if representative is None else representative
            )
        row = _row(form.name, path, form.dtype, written[form.file])
        precision = "bf16" if form.dtype == "bfloat16" else "f32"
        exported = open_exported(path, precision=precision)
        row["agreement"] = agreement(expected, outputs(exported), labels)
        rows.append(row)
        del exported
    return rows


def _export(model: Any, form: Form, path: pathlib.Path, batch_size: int, images: Any) -> float:
    """Writes a form and returns the seconds that it took."""
    from keras_vit import export

    start = time.perf_counter()
    if path.suffix == ".tflite":
        images = images if form.quantize == "int8_static" else None
        export.litert(model, path, form.quantize, batch_size=batch_size, images=images)
    else:
        writers = {".onnx": export.onnx, ".xml": export.openvino, "": export.saved_model}
        writers[path.suffix](model, path)
    return time.perf_counter() - start


def _row(name: str, path: pathlib.Path, dtype: str, seconds: float) -> dict[str, Any]:
    files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    files += [f for f in (path.with_suffix(".bin"), path.with_name(path.name + ".data"))
              if path.is_file() and f.is_file()]  # fmt: skip
    size = sum(file.stat().st_size for file in files) / 1e6
    return {"form": name, "file": path.name, "dtype": dtype, "size_mb": size, "export_s": seconds}


def _time(rows: list[dict], folder: pathlib.Path, batch_size: int, repeats: int) -> float:
    """Times all rows in turn, adds their figures, and returns the machine's GFLOP/s."""
    workers: list[Worker] = []
    imported: dict[str, float] = {}
    try:
        limit = Worker(Work("matrix_product"))
        workers.append(limit)
        limit.read()
        limit.ask("infer")
        for row in rows:
            subject = OF_A_FILE if row["form"] == "keras" else EXPORTED
            worker = Worker(Work(subject, str(folder / row["file"]), row["dtype"], batch_size))
            workers.append(worker)
            built = worker.read()
            imported[row["form"]] = built["imported_mib"]
            row["load_s"], row["infer_s"] = built["build_s"], []
            for _ in range(2):
                worker.ask("infer")
        seconds = []
        for _ in range(repeats):
            seconds.append(limit.ask("infer")["seconds"])
            for row, worker in zip(rows, workers[1:], strict=True):
                answer = worker.ask("infer")
                row["infer_s"].append(answer["seconds"])
                row["memory_mib"] = answer["peak_mib"] - imported[row["form"]]
    finally:
        for worker in workers:
            worker.close()
    return matrix_product_flops() / statistics.median(seconds) / 1e9


def format_exported(result: dict[str, Any]) -> str:
    """Formats what `measure_exported` returned.

    Args:
        result: its dictionary.

    Returns:
        Lines of text: the work and the machine, then a row a form. "MiB" is the most memory
        held beyond what the imports take, "max. diff." the largest difference of a probability,
        "cosine" the mean over the images for the logits, "top-1" the share of images with the same
        best class; "accuracy" stands where labels are known.
    """
    machine, batch_size = result["machine"], result["batch_size"]
    gflop, limit = result["gflop_per_image"], result["matrix_product_gflops"]
    lines = [
        f"{result['model']}, {gflop:.3g} GFLOP an image; compared on {result['images']} images, "
        f"timed with batch {batch_size}; {machine['processor']}, {machine['cores']} cores",
        f"matrix product {limit:.0f} GFLOP/s in float32: at most {limit / gflop:.3g} img/s",
    ]
    with_labels = "accuracy" in result["rows"][0]["agreement"]
    header = ["form", "MB", "export s", "load s", "img/s", "(min-max)", "MiB"]
    header += ["max. diff.", "cosine", "top-1"] + ["accuracy"] * with_labels
    rows = [tuple(header)]
    for row in result["rows"]:
        rate, spread, _ = rate_cells(row["infer_s"], batch_size)
        agreement = row["agreement"]
        cells = [row["form"], f"{row['size_mb']:.1f}", f"{row['export_s']:.1f}"]
        cells += [f"{row['load_s']:.2f}", rate, spread, f"{row['memory_mib']:.0f}"]
        cells += [f"{agreement['max_difference']:.1e}", f"{agreement['cosine']:.5f}"]
        cells += [f"{agreement['top1_agreement']:.1%}"]
        cells += [f"{agreement['accuracy']:.1%}"] if with_labels else []
        rows.append(tuple(cells))
    return "\n".join([*lines, *align(rows)])
