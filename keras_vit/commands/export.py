"""Writes a model for use outside Python, and compares what was written with the model.

Examples:
  keras-vit export --model=runs/digits/model.keras --output_dir=runs/digits/served
  keras-vit export --model=ViT-B_16.npz --labels=labels.txt --top_k=3 --output_dir=served
  keras-vit export --model=digits/model.keras --format=litert --quantize=int8 --output_dir=phone
  keras-vit export --model=digits/model.keras --format=saved_model,onnx,openvino --output_dir=all
"""

import inspect
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from absl import flags

from keras_vit.checks import check_choice
from keras_vit.command_line import section
from keras_vit.commands.sources import (
    check_labels_file,
    check_model_file,
    image_size_flag,
    text_flag,
)
from keras_vit.export.form import Form
from keras_vit.export.forms import FORMS
from keras_vit.tables import align

section("What is written")
_MODEL = text_flag("model")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "For a SavedModel the folder of its versions, of which this becomes the next; else the folder "
    "of the file, which is named after --model.",
)
_FORMAT = flags.DEFINE_list(
    "format",
    "saved_model",
    f"What to write, one or more of {', '.join(FORMS)}: for TensorFlow and TF Serving, phones, "
    "ONNX Runtime, and OpenVINO.",
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
_LABELS = text_flag("labels")

_IMAGE_SIZE = image_size_flag()

section("Ranges of static integers")
_IMAGES = flags.DEFINE_multi_string(
    "images", [], "For int8_static: image files, patterns or folders, like the images to come."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "For int8_static: images of the training split of this data set instead."
)
_DATA_DIR = text_flag("data_dir")

section("SavedModel")
_TOP_K = flags.DEFINE_integer(
    "top_k",
    None,
    "For saved_model: classes that `classify_bytes` names for an image; default: 5.",
    lower_bound=1,
)
flags.mark_flags_as_required(["model", "output_dir"])


def check() -> None:
    """Refuses flags that do not go together, and files that are not there."""
    for name in _FORMAT.value:
        check_choice("--format", name, tuple(FORMS))
    taken = {name for form in _forms() for name in _parameters(form)}
    for name in _given():
        if name not in taken:
            formats = ",".join(_FORMAT.value)
            raise ValueError(f"Expected no --{name} with --format={formats}, which has none.")
    if bool(_IMAGES.value) + bool(_DATASET.value) != (_QUANTIZE.value == "int8_static"):
        raise ValueError("Expected either --images or --dataset with --quantize=int8_static alone.")
    check_model_file(_MODEL.value)
    check_labels_file(_LABELS.value)


def _forms() -> list[Form]:
    return [FORMS[name] for name in dict.fromkeys(_FORMAT.value)]


def _parameters(form: Form) -> Collection[str]:
    return inspect.signature(form.write).parameters


def _given() -> dict[str, Any]:
    """Returns the options that were given and not every form has."""
    options = {"top_k": _TOP_K.value, "batch_size": _BATCH.value, "quantize": _QUANTIZE.value}
    return {name: value for name, value in options.items() if value is not None}


def run() -> None:
    """Loads, writes, and says where everything is."""
    from keras_vit.applications.model_files import load_labels, load_model
    from keras_vit.export.exportable import Exportable

    options, model = _given(), load_model(_MODEL.value, _IMAGE_SIZE.value)
    options["labels"] = load_labels(model, _MODEL.value, _LABELS.value)
    if _QUANTIZE.value == "int8_static":
        options["images"] = representative_images(model)
    exportable = Exportable(model)
    for form in _forms():
        taken = {name: options[name] for name in options.keys() & _parameters(form)}
        print(_write(form, exportable, taken), flush=True)


def _write(form: Form, model: Any, options: dict[str, Any]) -> str:
    """Writes one form, and returns where it is and how long it took."""
    from keras_vit.export.metadata import metadata_path

    path = Path(_OUTPUT_DIR.value)
    if form.suffix:
        path /= f"{Path(_MODEL.value).stem}{form.suffix}"
    start = time.perf_counter()
    path = form.write(model, path, **options)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in form.files(path))
    rows = [
        (form.title, f"{path}, compared with the model in its own runtime"),
        ("metadata", f"{metadata_path(path)}: preprocessing and labels"),
        ("size", f"{size / 1e6:.1f} MB, written and compared in {seconds:.1f} s"),
    ]
    return "\n".join(align(rows, left=2))


def representative_images(model):
    """Loads the images from which the ranges of static integers are learned."""
    from keras_vit.export.forms.litert_file import MAX_REPRESENTATIVE
    from keras_vit.interpret.samples import from_dataset, from_files

    if _IMAGES.value:
        return from_files(model, _IMAGES.value, count=MAX_REPRESENTATIVE).images
    options = {"count": MAX_REPRESENTATIVE, "split": "train", "data_dir": _DATA_DIR.value}
    return from_dataset(model, _DATASET.value, **options).images
