"""Folders of images, a subfolder a class, with or without a folder for each split above them."""

import os
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import ImageDataset, Split
from keras_vit.data.scan import check_images
from keras_vit.data.stratify import stratified_split

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
HELD_OUT_FRACTION = 0.2
SPLIT_SEED = 0

_ROLES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_IGNORED = ("thumbs.db", "desktop.ini")  # written by file managers, as are names with a dot first


def read_folder(
    folder: str | os.PathLike,
    *,
    held_out_fraction: float = HELD_OUT_FRACTION,
    skip_corrupt: bool = False,
) -> ImageDataset:
    """Reads a folder of images in one of two layouts, and checks every file.

    `split/class/image` is the layout of `tfds.ImageFolder`; splits are `train`, `validation` (or
    `valid`, `val`) and `test`. With `class/image` a stratified part of each class is held out for
    validation, by a fixed seed. Without a validation folder the split layout holds out that part
    too, unless there is a test folder. File names that start with a dot are passed over.

    Arguments are those of `keras_vit.data.load`.

    Raises:
        ValueError: an empty folder, an empty class, a single class, a class that a split lacks,
            or files that are not whole images; each is named. A class of nothing but such files
            is empty, whatever `skip_corrupt` says.
    """
    folder = Path(folder).expanduser()
    subfolders = {path.name: path for path in _visible(folder) if path.is_dir()}
    roles = {name: _ROLES[name.lower()] for name in subfolders if name.lower() in _ROLES}
    if "train" in roles.values() and len(roles) == len(subfolders):
        files = {role: _class_files(subfolders[name]) for name, role in roles.items()}
        _check_splits(folder, {name: files[role] for name, role in roles.items()})
    else:
        files = {"train": _class_files(folder)}
    classes = _check_classes(folder, files)
    everything = [path for split in files.values() for name in classes for path in split[name]]
    skipped = check_images(folder, everything, skip_corrupt=skip_corrupt)
    if skipped:
        files = {
            role: {name: [p for p in paths if p not in skipped] for name, paths in split.items()}
            for role, split in files.items()
        }
        _check_classes(folder, files)
    parts = {role: _flatten(split, classes) for role, split in files.items()}
    if len(parts) == 1:
        parts = hold_out(folder, *parts["train"], held_out_fraction)
    splits = {role: split_of_paths(role, *part) for role, part in parts.items()}
    return ImageDataset(name=os.fspath(folder), class_names=tuple(classes), **splits)


def _visible(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in _IGNORED
    )


def _class_files(folder: Path) -> dict[str, list[Path]]:
    """Returns the files of every class folder in `folder`, by class name."""
    return {path.name: _visible(path) for path in _visible(folder) if path.is_dir()}


def _check_splits(folder: Path, splits: dict[str, dict[str, list[Path]]]) -> None:
    flat = [f"'{name}'" for name, classes in splits.items() if not classes]
    if flat:
        raise ValueError(
            f"Expected a subfolder of images for each class in every split of '{folder}'. Received "
            f"{' and '.join(flat)} without one. If these names are classes and not splits, put "
            "them into a folder 'train'."
        )


def _check_classes(folder: Path, files: dict[str, dict[str, list[Path]]]) -> list[str]:
    classes = sorted(set().union(*files.values()))
    if not classes:
        raise ValueError(
            f"Expected a subfolder of images for each class in '{folder}'. Received: "
            f"{'files alone' if _visible(folder) else 'an empty folder'}."
        )
    empty = [
        f"'{role}/{name}'" if len(files) > 1 else f"'{name}'"
        for role, split in files.items()
        for name in classes
        if not split.get(name)
    ]
    if empty:
        raise ValueError(
            f"Expected images of every class in every split of '{folder}'. Received none in "
            f"{', '.join(empty)}. Add images or remove the class."
        )
    if len(classes) < 2:
        raise ValueError(
            f"Expected at least two classes in '{folder}', a subfolder each. "
            f"Received one: {classes[0]!r}."
        )
    return classes


def _flatten(split: dict[str, list[Path]], classes: list[str]) -> tuple[list[str], np.ndarray]:
    paths = [os.fspath(path) for name in classes for path in split[name]]
    labels = np.repeat(np.arange(len(classes)), [len(split[name]) for name in classes])
    return paths, labels.astype(np.int64)


def hold_out(
    folder: Path,
    paths: list[str],
    labels: np.ndarray,
    fraction: float,
    groups: np.ndarray | None = None,
) -> dict[str, tuple[list[str], np.ndarray]]:
    """Splits paths and their labels into `train` and `validation`.

    Args:
        folder: for the error.
        paths: of the images.
        labels: one for each.
        fraction: of each group that is held out.
        groups: integers, one for each; None for the labels.
    """
    try:
        parts = stratified_split(labels if groups is None else groups, fraction, SPLIT_SEED)
    except ValueError as error:
        raise ValueError(f"'{folder}' cannot be split: {error}") from error
    return {
        role: ([paths[index] for index in part], labels[part])
        for role, part in zip(("train", "validation"), parts, strict=True)
    }


def split_of_paths(role: str, paths: list[str], labels: np.ndarray) -> Split:
    """Makes a split of the paths of its images, and a label each."""

    def references():
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices({"image": paths, "label": labels})

    count = len(paths)
    return Split(role, count, references, images_are_paths=True, shuffle_buffer=count)
