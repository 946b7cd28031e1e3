"""Draws what a model attends to: pictures and one HTML report that holds them all.

Of a model that keras-vit pretrain left, beside its decoder.keras, also what it makes of images most
of which are hidden.

Examples:
  keras-vit visualize --model=runs/digits/model.keras --dataset=digits --output_dir=looks
  keras-vit visualize --model=hf://google/vit-base-patch16-224 --images=photos --output_dir=looks
"""

import dataclasses

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import (
    SampleFlags,
    check_labels_file,
    check_model_file,
    image_size_flag,
    text_flag,
)

section("What is looked at")
_MODEL = text_flag("model")
_SAMPLES = SampleFlags()
_LABELS = text_flag("labels", before="For --images. ")
_COUNT = flags.DEFINE_integer("count", 16, "Images at most, evenly spread.", lower_bound=1)

section("How")
_IMAGE_SIZE = image_size_flag()
_LEAVE_OUT = flags.DEFINE_bool(
    "leave_out_artifacts",
    False,
    "Whether maps leave out artefacts and sinks of attention; else crosses mark them.",
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images at a time.", lower_bound=1)

section("Output")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the pictures and report.html.")
flags.mark_flags_as_required(["model", "output_dir"])


def check() -> None:
    """Refuses what is not there, and images from two places."""
    _SAMPLES.check()
    check_model_file(_MODEL.value)
    check_labels_file(_LABELS.value)


def run() -> None:
    """Loads the model and the images, draws, and says where everything is."""
    from keras_vit.applications.model_files import display_name, load_labels, load_model
    from keras_vit.interpret import reconstruction, report

    model = load_model(_MODEL.value, _IMAGE_SIZE.value)
    chosen = _SAMPLES.take(model, _COUNT.value)
    names = chosen.class_names or load_labels(model, _MODEL.value, _LABELS.value)
    chosen = dataclasses.replace(chosen, class_names=names and tuple(names))
    name = display_name(model, _MODEL.value)
    print(f"Looking at {len(chosen.images)} images with {name}", flush=True)
    files = report.write(
        model,
        chosen,
        _OUTPUT_DIR.value,
        name=name,
        batch_size=_BATCH_SIZE.value,
        leave_out_artifacts=_LEAVE_OUT.value,
        decoder=None if _IMAGE_SIZE.value else reconstruction.decoder_beside(_MODEL.value),
        progress=lambda what: print(f"  {what}", flush=True),
    )
    for picture, path in files.items():
        print(f"  {picture:<20} {path}")
