"""From a name or a folder to an `ImageDataset`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vit.checks import check_choice
from keras_vit.data.dataset import TASKS, ImageDataset
from keras_vit.data.folders import HELD_OUT_FRACTION, read_folder
from keras_vit.data.label_tables import is_table_folder, read_table_folder
from keras_vit.data.tfds_source import (
    check_data_name,
    is_prepared_folder,
    read_digits,
    read_prepared_folder,
    read_tfds,
)
from keras_vit.data.unlabelled import read_unlabelled_folder

if TYPE_CHECKING:
    import keras


def load(
    name_or_folder: str | os.PathLike,
    *,
    splits: Mapping[str, str] | None = None,
    held_out_fraction: float = HELD_OUT_FRACTION,
    data_dir: str | os.PathLike | None = None,
    skip_corrupt: bool = False,
    labelled: bool = True,
    task: str | None = None,
    augment: Sequence[str | keras.layers.Layer] = (),
) -> ImageDataset:
    """Loads an image data set.

    Args:
        name_or_folder: `"digits"` for the embedded ones; the path of a folder with a subfolder a
            class, or with `train/` and such above the classes, or with its labels in a table
            (`keras_vit.data.label_tables`), or prepared by TFDS; or the name of a TFDS data set. A
            folder that exists goes before a TFDS name.
        splits: for TFDS, which part plays which role, for example `{"train": "train[:90%]",
            "validation": "train[90%:]", "test": "test"}`. None takes the splits that bear those
            names; where `train` is the only one, its last 20 % become the validation split.
        held_out_fraction: for a folder without splits, the share of each class held out for
            validation, in (0, 1).
        data_dir: where TFDS keeps its files; None for its default (`~/tensorflow_datasets`).
        skip_corrupt: for a folder, whether files that are not whole images are left out with one
            warning that names them; otherwise they are an error. TFDS has checked its own.
        labelled: whether the images need a class; if not, a folder is any tree of images, and a
            TFDS data set any with an Image feature `image`.
        task: what an image has: `"classes"` (one), `"labels"` (any of several), `"binary"` (one
            label or not; of two classes the second one) or `"regression"` (values); None is what
            the labels are.
        augment: layers of `keras.layers` or `keras_cv.layers` that change the training batches, in
            their order: layers, or texts such as `"GridMask"` and `"AugMix(severity=0.2)"`.

    Returns:
        The data set: its splits, class names and counts.

    Raises:
        ValueError: an unknown name (with the nearest ones), or a folder that is not a data set of
            whole images in at least two classes; the error says what is wrong and where.
        RuntimeError: TFDS could not download or prepare the data set.
    """
    check_choice("task", task, (None, *TASKS))
    folder = Path(name_or_folder).expanduser()
    if name_or_folder == "digits":
        data = read_digits(data_dir)
    elif not folder.is_dir():
        _refuse_missing_folder(name_or_folder)
        data = read_tfds(os.fspath(name_or_folder), data_dir, splits, labelled=labelled)
    elif is_prepared_folder(folder):
        data = read_prepared_folder(folder, splits, labelled=labelled)
    elif splits is not None:
        raise ValueError(
            "Expected `splits` only for a TFDS data set; a folder says them by its own "
            f"subfolders train, validation, test. Received: splits={dict(splits)}."
        )
    else:
        common = {"held_out_fraction": held_out_fraction, "skip_corrupt": skip_corrupt}
        if not labelled:
            data = read_unlabelled_folder(folder, **common)
        elif is_table_folder(folder):
            data = read_table_folder(folder, task=task, **common)
        else:
            data = read_folder(folder, **common)
    return data.as_task(task).augmented(augment)


def check_source(name_or_folder: str | os.PathLike) -> None:
    """Refuses what is neither a folder that exists nor the name of a data set.

    It needs no TensorFlow, so that a command can answer at once, as `load` would.
    """
    if name_or_folder != "digits" and not Path(name_or_folder).expanduser().is_dir():
        _refuse_missing_folder(name_or_folder)
        check_data_name(os.fspath(name_or_folder))


def _refuse_missing_folder(name_or_folder: str | os.PathLike) -> None:
    text = os.fspath(name_or_folder)
    if isinstance(name_or_folder, os.PathLike) or text.startswith((os.sep, ".", "~")):
        raise ValueError(f"Expected a folder that exists. Received: {text!r}.")
