"""Folders of images without labels: every image below, at any depth."""

import os
import warnings
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import SPLITS, ImageDataset
from keras_vit.data.folders import HELD_OUT_FRACTION, IMAGE_SUFFIXES, SPLIT_SEED, split_of_paths
from keras_vit.data.scan import check_images


def read_unlabelled_folder(
    folder: str | os.PathLike,
    *,
    held_out_fraction: float = HELD_OUT_FRACTION,
    skip_corrupt: bool = False,
) -> ImageDataset:
    """Reads all images below a folder, and checks every file.

    Where the folder holds `train` and nothing but splits (`train`, `validation`, `test`), these are
    the splits; else a part is held out for validation, by a fixed seed. Names that start with a dot
    are passed over, and so is what does not have the ending of an image, with one warning.

    Args:
        folder: path of the folder.
        held_out_fraction: share of the images that is held out, in (0, 1).
        skip_corrupt: whether files that are not whole images are left out with a warning that
            names them.

    Raises:
        ValueError: no image, or files that are not whole images, each of which is named.
    """
    folder = Path(folder).expanduser()
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    ]
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise ValueError(
            f"Expected images below '{folder}', with an ending of {', '.join(IMAGE_SUFFIXES)}. "
            f"Received: {len(found)} files of other kinds."
        )
    if len(images) < len(found):
        other = next(path for path in found if path.suffix.lower() not in IMAGE_SUFFIXES)
        warnings.warn(
            f"{len(found) - len(images)} files below '{folder}' are passed over, as their ending "
            f"is not that of an image, such as '{other.relative_to(folder)}'.",
            stacklevel=2,
        )
    skipped = check_images(folder, images, skip_corrupt=skip_corrupt)
    images = [path for path in images if path not in skipped]
    parts = _by_folder(folder, images) or _held_out(images, held_out_fraction)
    return ImageDataset(
        name=os.fspath(folder),
        class_names=(),
        **{
            role: split_of_paths(role, list(map(os.fspath, paths)), np.zeros(len(paths), np.int64))
            for role, paths in parts.items()
            if paths
        },
    )


def _by_folder(folder: Path, images: list[Path]) -> dict[str, list[Path]]:
    """Returns the images of each split, where the folders at the top are splits."""
    parts = {}
    for path in images:
        parts.setdefault(path.relative_to(folder).parts[0], []).append(path)
    return parts if "train" in parts and parts.keys() <= set(SPLITS) else {}


def _held_out(images: list[Path], fraction: float) -> dict[str, list[Path]]:
    count = min(max(1, round(fraction * len(images))), len(images) - 1)
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    held_out = set(order[:count].tolist())
    parts = {"train": [], "validation": []}
    for index, path in enumerate(images):
        parts["validation" if index in held_out else "train"].append(path)
    return parts
