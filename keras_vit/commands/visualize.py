"""Draws what a model attends to: pictures and one HTML report that holds them all.

Examples:
  keras-vit visualize --model=runs/digits/model.keras --dataset=digits --output_dir=looks
  keras-vit visualize --model=hf://google/vit-base-patch16-224 --images=photos --output_dir=looks
"""

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import (
    check_images_or_dataset,
    check_labels_file,
    check_model_file,
    dataset_flag,
    image_size_flag,
    images_flag,
    split_flag,
    text_flag,
)

section("What is looked at")
_MODEL = text_flag("model")
_IMAGES = images_flag()
_DATASET = dataset_flag(None)
_DATA_DIR = text_flag("data_dir")
_SPLIT = split_flag()
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
    check_images_or_dataset(_IMAGES.value, _DATASET.value)
    check_model_file(_MODEL.value)
    check_labels_file(_LABELS.value)


def run() -> None:
    """Loads the model and the images, draws, and says where everything is."""
    from keras_vit.applications.model_files import display_name, load_labels, load_model
    from keras_vit.interpret import report, samples

    model = load_model(_MODEL.value, _IMAGE_SIZE.value)
    if _DATASET.value:
        chosen = samples.from_dataset(
            model,
            _DATASET.value,
            count=_COUNT.value,
            split=_SPLIT.value,
            data_dir=_DATA_DIR.value,
        )
    else:
        names = load_labels(model, _MODEL.value, _LABELS.value)
        chosen = samples.from_files(model, _IMAGES.value, count=_COUNT.value, class_names=names)
    name = display_name(model, _MODEL.value)
    print(f"Looking at {len(chosen.images)} images with {name}", flush=True)
    files = report.write(
        model,
        chosen,
        _OUTPUT_DIR.value,
        name=name,
        batch_size=_BATCH_SIZE.value,
        leave_out_artifacts=_LEAVE_OUT.value,
        progress=lambda title: print(f"  drawn: {title}", flush=True),
    )
    for picture, path in files.items():
        print(f"  {picture:<20} {path}")
