"""Writes a model for use outside Python, and checks it in a process that cannot import Keras.

Examples:
  export.py --model=runs/digits/model.keras --output_dir=runs/digits/served
  export.py --model=ViT-B_16.npz --labels=labels.txt --top_k=3 --output_dir=served
  export.py --model=runs/digits/model.keras --format=litert --quantize=int8 --output_dir=phone
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from absl import app, flags, logging

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

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
    "format", "saved_model", ["saved_model", "litert"], "What to write: for a server or a phone."
)
_QUANTIZE = flags.DEFINE_enum(
    "quantize", None, ["float16", "int8"], "For litert: smaller weights; default: float32."
)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A text file with the name of a class on each line, or a JSON file; default: what training "
    "left beside the model, else ImageNet's names with 1000 or 21,843 classes.",
)
_TOP_K = flags.DEFINE_integer(
    "top_k", 5, "Classes that `classify_bytes` names for an image.", lower_bound=1
)
_CHECK = flags.DEFINE_bool("check", True, "Whether to compare the export with the model.")
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "Largest difference that passes the check; default: 1e-4, and 0.05 in low precision.",
    lower_bound=0,
)
flags.mark_flags_as_required(["model", "output_dir"])


def run() -> None:
    """Loads, writes, checks, and says where everything is."""
    from keras_vit import export
    from keras_vit.export.source import load_model
    from keras_vit.labels import labels_beside, read_labels

    model = load_model(_MODEL.value)
    classes = model.config.num_classes
    if _LABELS.value:
        labels = read_labels(_LABELS.value, classes)
    else:
        labels = labels_beside(_MODEL.value, classes)
    if _FORMAT.value == "litert":
        path = Path(_OUTPUT_DIR.value) / f"{Path(_MODEL.value).stem}.tflite"
        export.litert(model, path, _QUANTIZE.value, labels=labels)
        print(f"LiteRT           {path}, compared with the model before it was written")
        print(f"Size             {path.stat().st_size / 1e6:.1f} MB")
    elif _QUANTIZE.value:
        raise ValueError("Expected --quantize with --format=litert alone.")
    else:
        write_saved_model(model, labels)


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


def main(argv: list[str]) -> None:
    """Runs the app; an error that a user can mend is one line."""
    if len(argv) > 1:
        raise app.UsageError(f"Expected flags alone. Received: {argv[1:]}.")
    try:
        run()
    except (ValueError, RuntimeError, OSError) as error:
        logging.debug("Where it happened:", exc_info=True)  # shown with --verbosity=1
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    app.run(main)
