"""Names what is in image files.

Examples:
  keras-vit predict --model=runs/digits/model.keras seven.png three.png
  keras-vit predict --model=phone/model.tflite seven.png
  keras-vit predict --model=runs/digits/served --output=json 'photos/*.jpg' > predictions.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from keras_vit.command_line import command, section
from keras_vit.commands.sources import check_labels_file, check_model_file

section("What is classified")
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "A `.keras` file, a checkpoint (.npz, .safetensors, hf://owner/repo), or an export: the "
    "folder of a SavedModel, or a .tflite, .onnx or .xml (OpenVINO) file.",
)
_IMAGES = flags.DEFINE_multi_string(
    "images",
    [],
    "An image file, a pattern, or a folder of images; may be repeated, and stand without --images.",
)

section("How")
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A text file with the name of a class on each line, or a JSON file; default: what training "
    "left beside the model, else ImageNet's names with 1000 or 21,843 classes, else numbers.",
)
_TOP_K = flags.DEFINE_integer("top_k", 5, "Classes to name for an image.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images at a time.", lower_bound=1)

section("Output")
_OUTPUT = flags.DEFINE_enum(
    "output", "text", ["text", "json"], "A table to read, or one JSON list with every file."
)
flags.mark_flag_as_required("model")


def check(arguments: list[str]) -> None:
    """Refuses files that are not there, and labels for a model that has its own."""
    from keras_vit.interpret.samples import find_images

    if not _sources(arguments):
        raise ValueError("Expected image files, patterns or folders. Received: none.")
    find_images(_sources(arguments))
    check_model_file(_MODEL.value)
    check_labels_file(_LABELS.value)


def run(arguments: list[str]) -> None:
    """Classifies and prints; an image that cannot be read ends the process with status 1."""
    from keras_vit import export
    from keras_vit.applications.model_files import load_labels, load_model
    from keras_vit.export.exported import is_exported
    from keras_vit.images.labels import CLASS_SETS
    from keras_vit.interpret.samples import find_images

    paths = find_images(_sources(arguments))
    model, labels = _MODEL.value, None
    if not is_exported(model):
        model = load_model(model)
        classes = model.config.num_classes
        labels = load_labels(model, _MODEL.value, _LABELS.value)
        if labels is None and classes not in CLASS_SETS:
            labels = [str(column) for column in range(classes)]
    elif _LABELS.value:
        raise ValueError("Expected no --labels with an exported model, which has its own.")
    results = export.classify_files(
        model, paths, top=_TOP_K.value, labels=labels, batch_size=_BATCH_SIZE.value
    )
    show = show_json if _OUTPUT.value == "json" else show_text
    if not show(results):
        sys.exit(1)


def show_json(results: Iterable[dict[str, Any]]) -> bool:
    """Prints one list; returns whether every file was an image."""
    results = list(results)
    print(json.dumps(results, indent=2, ensure_ascii=False))
    return not any("error" in result for result in results)


def show_text(results: Iterable[dict[str, Any]]) -> bool:
    """Prints each file and its classes as they come; returns whether every file was an image."""
    all_good = True
    for result in results:
        print(result["file"])
        for prediction in result.get("predictions", []):
            print(f"  {100 * prediction['score']:6.2f} %  {prediction['label']}")
        if "error" in result:
            all_good = False
            print(f"  {result['error']}")
    return all_good


def _sources(arguments: list[str]) -> list[str]:
    return [*_IMAGES.value, *arguments]


main = command(run, check=check, takes_arguments=True)
