"""Names what is in image files.

Examples:
  keras-vit predict --model=runs/digits/model.keras seven.png three.png
  keras-vit predict --model=phone/model.tflite seven.png
  keras-vit predict --model=runs/digits/served --output=predictions.csv photos 'more/*.jpg'
  keras-vit predict --model=runs/digits/model.keras --output=json photos > predictions.json
"""

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import (
    check_labels_file,
    check_model_file,
    image_size_flag,
    text_flag,
)
from keras_vit.files import replacing

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
_LABELS = text_flag("labels")
_TOP_K = flags.DEFINE_integer("top_k", 5, "Classes to name for an image.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images at a time.", lower_bound=1)

_IMAGE_SIZE = image_size_flag(after="; an export has no other")

section("Output")
_OUTPUT = flags.DEFINE_string(
    "output",
    "text",
    "text to read, json on the standard output, or a file to write, .csv or .json: a row for each "
    "image, one that cannot be read with the reason.",
)
flags.mark_flag_as_required("model")


def check(arguments: list[str]) -> None:
    """Refuses what names no image or no output, and a model that is not there."""
    if not _sources(arguments):
        raise ValueError("Expected image files, patterns or folders. Received: none.")
    if _OUTPUT.value not in ("text", "json") and _suffix() not in WRITERS:
        raise ValueError(
            "Expected --output to be text, json, or a file that ends in .csv or .json. "
            f"Received: {_OUTPUT.value!r}."
        )
    check_model_file(_MODEL.value)
    check_labels_file(_LABELS.value)


def run(arguments: list[str]) -> None:
    """Classifies and shows; an image that cannot be read ends the process with status 1."""
    results = classify(_sources(arguments))
    if _OUTPUT.value == "text":
        all_good = show_text(results)
    elif _OUTPUT.value == "json":
        all_good = write_json_list(results, sys.stdout)
    else:
        with replacing(_OUTPUT.value) as path, path.open("w", encoding="utf-8", newline="") as file:
            all_good = WRITERS[_suffix()](results, file)
        print(f"{_OUTPUT.value}: a row for each image")
    if not all_good:
        sys.exit(1)


def classify(sources: list[str]) -> Iterator[dict[str, Any]]:
    """Yields what `classify_files` says; a source where nothing is has its reason."""
    from keras_vit import export
    from keras_vit.data.pass_progress import PassProgress
    from keras_vit.export.exported import is_exported
    from keras_vit.interpret.samples import find_images

    found: dict[str, str | None] = {}
    for source in sources:
        try:
            found |= dict.fromkeys(find_images([source]))
        except ValueError as error:
            found[source] = str(error)
    model, labels = _MODEL.value, None
    if not is_exported(model):
        model, labels = load(model)
    elif _LABELS.value or _IMAGE_SIZE.value:
        raise ValueError(
            "Expected no --labels and no --image_size with an exported model, which has its own."
        )
    results = export.classify_files(
        model, found, top=_TOP_K.value, labels=labels, batch_size=_BATCH_SIZE.value
    )
    progress = PassProgress(0 if _OUTPUT.value == "text" else len(found), sys.stderr)
    for result in results:
        reason = found[result["file"]]
        progress.add(1)
        yield result | {"error": reason} if reason else result
    progress.end()


def load(source: str) -> tuple[Any, list[str] | None]:
    """Loads a Keras model and the names of its classes; None for ImageNet's own."""
    from keras_vit.applications.model_files import load_labels, load_model
    from keras_vit.images.labels import CLASS_SETS

    model = load_model(source, _IMAGE_SIZE.value)
    classes = model.config.num_classes
    labels = load_labels(model, source, _LABELS.value)
    if labels is None and classes not in CLASS_SETS:
        labels = [str(column) for column in range(classes)]
    return model, labels


def write_json_list(results: Iterable[dict[str, Any]], file: TextIO) -> bool:
    """Writes one list; returns whether every file was an image."""
    results = list(results)
    json.dump(results, file, indent=2, ensure_ascii=False)
    file.write("\n")
    return not any("error" in result for result in results)


def write_csv(results: Iterable[dict[str, Any]], file: TextIO) -> bool:
    """Writes rows as they come; returns whether every file was an image.

    Columns: `file`, `label` and `score` of the best class, `label_2`, `score_2` and so on, and
    `error`, empty where there is none. Of a regression a column for each value, named so.
    """
    results, first = iter(results), []
    for result in results:
        first.append(result)
        if "error" not in result:
            break
    results = itertools.chain(first, results)
    if first and "values" in first[-1]:
        return _write_values(list(first[-1]["values"]), results, file)
    places = ["", *(f"_{place}" for place in range(2, _TOP_K.value + 1))]
    columns = [name + place for place in places for name in ("label", "score")]
    writer = csv.writer(file)
    writer.writerow(["file", *columns, "error"])
    all_good = True
    for result in results:
        best = result.get("predictions", [])
        values = [value for each in best for value in (each["label"], f"{each['score']:.6f}")]
        values += [""] * (len(columns) - len(values))
        writer.writerow([result["file"], *values, result.get("error", "")])
        all_good &= "error" not in result
    return all_good


def _write_values(names: list[str], results: Iterable[dict[str, Any]], file: TextIO) -> bool:
    writer, all_good = csv.writer(file), True
    writer.writerow(["file", *names, "error"])
    for result in results:
        values = result.get("values", {})
        cells = [f"{values[name]:.6g}" if values else "" for name in names]
        writer.writerow([result["file"], *cells, result.get("error", "")])
        all_good &= "error" not in result
    return all_good


WRITERS = {".csv": write_csv, ".json": write_json_list}


def show_text(results: Iterable[dict[str, Any]]) -> bool:
    """Prints each file and its classes as they come; returns whether every file was an image."""
    all_good = True
    for result in results:
        print(result["file"])
        for prediction in result.get("predictions", []):
            print(f"  {100 * prediction['score']:6.2f} %  {prediction['label']}")
        for name, value in result.get("values", {}).items():
            print(f"  {value:10.4g}  {name}")
        if "error" in result:
            all_good = False
            print(f"  {result['error']}")
    return all_good


def _suffix() -> str:
    return Path(_OUTPUT.value).suffix.lower()


def _sources(arguments: list[str]) -> list[str]:
    return [*_IMAGES.value, *arguments]
