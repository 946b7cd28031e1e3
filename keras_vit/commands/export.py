"""Writes a model for use outside Python, and compares what was written with the model.

Examples:
  export.py --model=runs/digits/model.keras --output_dir=runs/digits/served
  export.py --model=ViT-B_16.npz --labels=labels.txt --top_k=3 --output_dir=served
  export.py --model=runs/digits/model.keras --format=litert --quantize=int8 --output_dir=phone
  export.py --model=runs/digits/model.keras --format=openvino --output_dir=service
"""

from __future__ import annotations

import time
from pathlib import Path

from absl import app, flags

from keras_vit.command_line import command

_MODEL = flags.DEFINE_string(
    "model", None, "A `.keras` file, or a checkpoint (.npz, .safetensors, hf://owner/repo)."
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "For a SavedModel the folder of its versions, of which this becomes the next; else the folder "
    "of the file, which is named after --model.",
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "onnx", "openvino"],
    "What to write: for TensorFlow and TF Serving, phones, ONNX Runtime, or OpenVINO.",
)
_QUANTIZE = flags.DEFINE_enum(
    "quantize",
    None,
    ["float16", "int8", "int8_static"],
    "For litert: smaller weights; int8_static learns ranges beforehand and needs --images or "
    "--dataset; default: float32.",
)
_BATCH = flags.DEFINE_integer(
    "batch_size",
    None,
    "Images at a time, for litert (faster with a number), onnx and openvino; default: any number.",
    lower_bound=1,
)
_IMAGES = flags.DEFINE_multi_string(
    "images", [], "For int8_static: image files, patterns or folders, like the images to come."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "For int8_static: images of the training split of this data set instead."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps its files; default: its own.")
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A text file with the name of a class on each line, or a JSON file; default: what training "
    "left beside the model, else ImageNet's names with 1000 or 21,843 classes.",
)
_TOP_K = flags.DEFINE_integer(
    "top_k", 5, "Classes that `classify_bytes` names for an image.", lower_bound=1
)
_CHECK = flags.DEFINE_bool(
    "check", True, "Whether to compare a SavedModel with the model; other forms always are."
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "Largest difference that passes the check; default: 1e-4, and 0.05 in low precision.",
    lower_bound=0,
)
flags.mark_flags_as_required(["model", "output_dir"])

SUFFIXES = {"litert": ".tflite", "onnx": ".onnx", "openvino": ".xml"}


def run() -> None:
    """Loads, writes, checks, and says where everything is."""
    if _QUANTIZE.value and _FORMAT.value != "litert":
        raise ValueError(
            f"Expected --quantize with --format=litert alone. Received: {_FORMAT.value}."
        )
    if _BATCH.value and _FORMAT.value == "saved_model":
        raise ValueError("Expected no --batch_size with a SavedModel, which takes any number.")
    if (_IMAGES.value or _DATASET.value) and _QUANTIZE.value != "int8_static":
        raise ValueError("Expected --images and --dataset with --quantize=int8_static alone.")
    from keras_vit.applications.model_files import load_labels, load_model

    model = load_model(_MODEL.value)
    labels = load_labels(model, _MODEL.value, _LABELS.value)
    if _FORMAT.value == "saved_model":
        write_saved_model(model, labels)
    else:
        write_file(model, labels)


def write_file(model, labels) -> None:
    """Writes one file of another form and prints where it is."""
    from keras_vit import export
    from keras_vit.export.beside import metadata_path

    form = _FORMAT.value
    path = Path(_OUTPUT_DIR.value) / f"{Path(_MODEL.value).stem}{SUFFIXES[form]}"
    options = {"labels": labels, "batch_size": _BATCH.value}
    if form == "litert":
        options["quantize"] = _QUANTIZE.value
        if _QUANTIZE.value == "int8_static":
            options["images"] = representative_images(model)
    start = time.perf_counter()
    {"litert": export.litert, "onnx": export.onnx, "openvino": export.openvino}[form](
        model, path, **options
    )
    seconds = time.perf_counter() - start
    companions = [path.with_suffix(".bin")] if form == "openvino" else []
    companions.append(path.with_name(path.name + ".data"))
    files = [path, *(file for file in companions if file.exists())]
    print(f"{form:<16} {path}, compared with the model in its own runtime")
    print(f"metadata         {metadata_path(path)}: preprocessing and labels")
    size = sum(file.stat().st_size for file in files)
    print(f"Size             {size / 1e6:.1f} MB, written in {seconds:.1f} s")


def representative_images(model):
    """Loads the images from which the ranges of static integers are learned."""
    from keras_vit.export.litert_file import MAX_REPRESENTATIVE
    from keras_vit.interpret.samples import from_dataset, from_files

    if bool(_IMAGES.value) == bool(_DATASET.value):
        raise ValueError("Expected either --images or --dataset with --quantize=int8_static.")
    if _IMAGES.value:
        return from_files(model, _IMAGES.value, count=MAX_REPRESENTATIVE).images
    options = {"count": MAX_REPRESENTATIVE, "split": "train", "data_dir": _DATA_DIR.value}
    return from_dataset(model, _DATASET.value, **options).images


def write_saved_model(model, labels) -> None:
    """Writes the next version, compares it with the model, and prints both."""
    from keras_vit import export

    start = time.perf_counter()
    folder = export.saved_model(model, _OUTPUT_DIR.value, labels=labels, top_k=_TOP_K.value)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"SavedModel       {folder}")
    print(f"Size             {size / 1e6:.1f} MB, written in {seconds:.1f} s")
    if not _CHECK.value:
        return
    difference = export.check(model, folder)
    print(f"Max. difference  {difference:.1e}, in a fresh process without Keras")
    low_precision = model.dtype_policy.compute_dtype != "float32"
    tolerance = _TOLERANCE.value
    if tolerance is None:
        tolerance = 0.05 if low_precision else 1e-4
    if not difference <= tolerance:
        raise RuntimeError(
            f"Expected the export to agree with the model within {tolerance}. "
            f"Received: a difference of {difference}. The files stay in '{folder}'."
        )


main = command(run)

if __name__ == "__main__":
    app.run(main)
