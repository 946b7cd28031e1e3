"""Writes a model for use outside Python, and compares what was written with the model.

Examples:
  export.py --model=runs/digits/model.keras --output_dir=runs/digits/served
  export.py --model=ViT-B_16.npz --labels=labels.txt --top_k=3 --output_dir=served
  export.py --model=runs/digits/model.keras --format=litert --quantize=int8 --output_dir=phone
  export.py --model=runs/digits/model.keras --format=openvino --output_dir=service
"""

from __future__ import annotations

import inspect
import time
from pathlib import Path

from absl import app, flags

from keras_vit.command_line import command
from keras_vit.export.forms import FORMS

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
    list(FORMS),
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
    "top_k",
    None,
    "For saved_model: classes that `classify_bytes` names for an image; default: 5.",
    lower_bound=1,
)
flags.mark_flags_as_required(["model", "output_dir"])


def run() -> None:
    """Loads, writes, and says where everything is."""
    form = FORMS[_FORMAT.value]
    options = {"top_k": _TOP_K.value, "batch_size": _BATCH.value, "quantize": _QUANTIZE.value}
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in inspect.signature(form.write).parameters:
            raise ValueError(f"Expected no --{name} with --format={form.name}, which has none.")
    learns = options.get("quantize") == "int8_static"
    if bool(_IMAGES.value) + bool(_DATASET.value) != learns:
        raise ValueError("Expected either --images or --dataset with --quantize=int8_static alone.")
    from keras_vit.applications.model_files import load_labels, load_model
    from keras_vit.export.metadata import metadata_path

    model = load_model(_MODEL.value)
    path = Path(_OUTPUT_DIR.value)
    if form.suffix:
        path /= f"{Path(_MODEL.value).stem}{form.suffix}"
    options["labels"] = load_labels(model, _MODEL.value, _LABELS.value)
    if learns:
        options["images"] = representative_images(model)
    start = time.perf_counter()
    path = form.write(model, path, **options)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in form.files(path))
    print(f"{form.title:<16} {path}, compared with the model in its own runtime")
    print(f"{'metadata':<16} {metadata_path(path)}: preprocessing and labels")
    print(f"{'size':<16} {size / 1e6:.1f} MB, written and compared in {seconds:.1f} s")


def representative_images(model):
    """Loads the images from which the ranges of static integers are learned."""
    from keras_vit.export.forms.litert_file import MAX_REPRESENTATIVE
    from keras_vit.interpret.samples import from_dataset, from_files

    if _IMAGES.value:
        return from_files(model, _IMAGES.value, count=MAX_REPRESENTATIVE).images
    options = {"count": MAX_REPRESENTATIVE, "split": "train", "data_dir": _DATA_DIR.value}
    return from_dataset(model, _DATASET.value, **options).images


main = command(run)

if __name__ == "__main__":
    app.run(main)
