"""Flags that several commands have, and files that they name, looked for before Keras is there."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from keras_vit.checks import nearest_names

flags.disclaim_key_flags()  # they are those of the command that asks for them
_TEXTS = {
    "model": "A `.keras` file, or a checkpoint (.npz, .safetensors, hf://owner/repo).",
    "data_dir": "Where TFDS keeps its files; default: its own.",
    "labels": "A text file with the name of a class on each line, or a JSON file; default: what "
    "training left beside the model, else ImageNet's names with 1000 or 21,843 classes, else "
    "numbers.",
}


def text_flag(name: str, before: str = "") -> flags.FlagHolder:
    """Defines `--model`, `--data_dir` or `--labels`; its help follows what stands before it."""
    return flags.DEFINE_string(name, None, before + _TEXTS[name])


def dataset_flag(default: str | None = "digits") -> flags.FlagHolder:
    """Defines `--dataset`."""
    text = "`digits`, the name of a TFDS data set, or a folder with a subfolder a class."
    return flags.DEFINE_string("dataset", default, text)


def images_flag() -> flags.FlagHolder:
    """Defines `--images`."""
    text = "An image file, a pattern, or a folder of images; may be repeated."
    return flags.DEFINE_multi_string("images", [], text)


def split_flag() -> flags.FlagHolder:
    """Defines `--split`."""
    splits = ["train", "validation", "test"]
    return flags.DEFINE_enum("split", None, splits, "Default: test, else validation.")


def image_size_flag(after: str = "") -> flags.FlagHolder:
    """Defines `--image_size`, with something behind its help."""
    text = (
        "Height and width in pixels; position embeddings are resized to it. Default: the model's "
    )
    return flags.DEFINE_integer("image_size", None, f"{text}own{after}.", lower_bound=1)


def check_model_file(source: str) -> None:
    """Refuses the path of a model where no file is; an address is not looked at."""
    from keras_vit.weights.download import is_address

    if not is_address(source):
        _check_file(source, "the file of a model, or an address such as hf://owner/repo")


def check_labels_file(source: str | None) -> None:
    """Refuses a file of labels that is not there; None is none."""
    if source:
        _check_file(source, "a file with the names of the classes")


def check_images_or_dataset(images: Sequence[str], dataset: str | None) -> None:
    """Refuses images from two places or from none, and what is not there.

    Args:
        images: files, patterns and folders.
        dataset: the name or folder of a data set, or None.

    Raises:
        ValueError: both or neither, or a source in which nothing was found.
    """
    from keras_vit.data.loading import check_source
    from keras_vit.interpret.samples import find_images

    if bool(images) == bool(dataset):
        raise ValueError("Expected either --images or --dataset. Received both or neither.")
    if dataset:
        check_source(dataset)
    find_images(images)


def _check_file(source: str, what: str) -> None:
    path = Path(source).expanduser()
    if not path.exists():
        folder = path.parent
        beside = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        near = nearest_names(path.name, beside) if beside else "Nothing is in that folder."
        raise ValueError(f"Expected {what}. Received: {source!r}, which is not there. {near}")
