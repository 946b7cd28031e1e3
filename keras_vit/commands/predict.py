"""Names what is in image files.

Examples:
  predict.py --model=runs/digits/model.keras seven.png three.png
  predict.py --model=phone/model.tflite seven.png
  predict.py --model=runs/digits/served --output=json 'photos/*.jpg' > predictions.json
"""

from __future__ import annotations

import json
import os
import sys

from absl import app, flags, logging

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

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
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A text file with the name of a class on each line, or a JSON file; default: what training "
    "left beside the model, else ImageNet's names with 1000 or 21,843 classes, else numbers.",
)
_TOP_K = flags.DEFINE_integer("top_k", 5, "Classes to name for an image.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images at a time.", lower_bound=1)
_OUTPUT = flags.DEFINE_enum(
    "output", "text", ["text", "json"], "A table to read, or one JSON list with every file."
)
flags.mark_flag_as_required("model")


def run(sources: list[str]) -> bool:
    """Classifies and prints; returns whether every file was an image."""
    from keras_vit import export
    from keras_vit.applications.model_files import load_labels, load_model
    from keras_vit.export.exported import is_exported
    from keras_vit.images.labels import CLASS_SETS
    from keras_vit.interpret.samples import find_images

    if not sources:
        raise ValueError("Expected image files, patterns or folders. Received: none.")
    paths = find_images(sources)
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
    if _OUTPUT.value == "json":
        results = list(results)
        print(json.dumps(results, indent=2, ensure_ascii=False))
        return not any("error" in result for result in results)
    all_good = True
    for result in results:
        print(result["file"])
        for prediction in result.get("predictions", []):
            print(f"  {100 * prediction['score']:6.2f} %  {prediction['label']}")
        if "error" in result:
            all_good = False
            print(f"  {result['error']}")
    return all_good


def main(argv: list[str]) -> None:
    """Runs the app; an error that a user can mend is one line, a bad file makes exit status 1."""
    try:
        all_good = run([*_IMAGES.value, *argv[1:]])
    except (ValueError, RuntimeError, OSError) as error:
        logging.debug("Where it happened:", exc_info=True)  # shown with --verbosity=1
        sys.exit(f"Error: {error}")
    if not all_good:
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
