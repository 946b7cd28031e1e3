"""Flags that several commands have, and files that they name, looked for before Keras is there."""

from pathlib import Path
from typing import Any

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
    text = "`digits`, a TFDS data set, or a folder: a subfolder for each class, or a labels.csv."
    return flags.DEFINE_string("dataset", default, text)


def task_flag() -> flags.FlagHolder:
    """Defines `--task`."""
    text = (
        "What an image has: one class, any of several labels, one label or not, values; default: "
        "what the data say."
    )
    tasks = ["classes", "labels", "binary", "regression"]
    return flags.DEFINE_enum("task", None, tasks, text)


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
    """Refuses the path of a model where no file is, and an address that does not answer."""
    from keras_vit.weights.download import check_reachable, is_address

    if is_address(source):
        check_reachable(source)
    else:
        _check_file(source, "the file of a model, or an address such as hf://owner/repo")


def check_labels_file(source: str | None) -> None:
    """Refuses a file of labels that is not there; None is none."""
    if source:
        _check_file(source, "a file with the names of the classes")


class SampleFlags:
    """Images to look into: `--images`, or `--dataset` with `--data_dir` and `--split`."""

    def __init__(self):
        text = "An image file, a pattern, or a folder of images; may be repeated."
        self.images = flags.DEFINE_multi_string("images", [], text)
        self.dataset = dataset_flag(None)
        self.data_dir = text_flag("data_dir")
        self.split = split_flag()

    def check(self) -> None:
        """Refuses images from two places or from none, and what is not there."""
        from keras_vit.data.loading import check_source
        from keras_vit.interpret.samples import find_images

        images, dataset = self.images.value, self.dataset.value
        if bool(images) == bool(dataset):
            raise ValueError("Expected either --images or --dataset. Received both or neither.")
        if dataset:
            check_source(dataset)
        find_images(images)

    def take(self, model: Any, count: int) -> Any:
        """Returns the `keras_vit.interpret.samples.Samples` of a model, `count` at most."""
        from keras_vit.interpret import samples

        if not self.dataset.value:
            return samples.from_files(model, self.images.value, count=count)
        place = {"split": self.split.value, "data_dir": self.data_dir.value}
        return samples.from_dataset(model, self.dataset.value, count=count, **place)


def _check_file(source: str, what: str) -> None:
    path = Path(source).expanduser()
    if not path.exists():
        folder = path.parent
        beside = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        near = nearest_names(path.name, beside) if beside else "Nothing is in that folder."
        raise ValueError(f"Expected {what}. Received: {source!r}, which is not there. {near}")
