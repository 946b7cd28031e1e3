"""Image files or a data set -> some prepared images with names and labels, to look into."""

from __future__ import annotations

import dataclasses
import glob
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.data.folders import IMAGE_SUFFIXES
from keras_vit.files import each_path

if TYPE_CHECKING:
    from keras_vit.images.spec import Preprocessing

MAX_SIDE = 1024


@dataclasses.dataclass(frozen=True)
class Samples:
    """Prepared images and what is known about them.

    Attributes:
        images: (batch, height, width, channels) float32, as the model takes them.
        names: one for each image.
        labels: the true class of each image as a column of the logits, or None.
        class_names: the name of each class, or None.
        photos: for the eye, what the model sees of each image at the image's own resolution, uint8
            (height, width, 1 or 3); None where that is not known.
    """

    images: np.ndarray
    names: tuple[str, ...]
    labels: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    photos: tuple[np.ndarray, ...] | None = None


def seen_photo(source: str | os.PathLike | bytes, preprocessing: Preprocessing) -> np.ndarray:
    """Reads what a model sees of an image, at the image's own resolution.

    Returns:
        uint8 (height, width, 1 or 3), the longer side at most 1,024 pixels; as wide for its height
        as the image is, where the model squeezes it.

    Raises:
        ValueError: no whole image.
    """
    from PIL import Image

    from keras_vit.images.pillow_decoding import decode_image
    from keras_vit.images.preprocessing import seen_box

    pixels = decode_image(source, len(preprocessing.mean))
    box = seen_box(*pixels.shape[:2], preprocessing)
    left, top, right, bottom = (round(side) for side in box)
    pixels = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    photo = Image.fromarray(pixels.squeeze(axis=-1) if pixels.shape[-1] == 1 else pixels)
    photo.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(photo).reshape(photo.height, photo.width, -1)


def find_images(
    sources: str | os.PathLike | Iterable[str | os.PathLike], count: int | None = None
) -> list[str]:
    """Turns files, glob patterns and folders into the paths of image files.

    Args:
        sources: one or several, each a file, a pattern such as `"photos/*.jpg"` (`**` reaches into
            subfolders), or a folder, of which all image files are taken, subfolders included.
        count: at most so many, evenly spread over what was found; None for all.

    Returns:
        Paths without repetition; those of a pattern or folder are sorted.

    Raises:
        ValueError: a source in which nothing was found.
    """
    found: dict[str, None] = {}
    for source in map(os.fspath, each_path(sources)):
        path = pathlib.Path(source).expanduser()
        if path.is_dir():
            paths = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            paths = [path]
        else:
            matches = sorted(glob.glob(str(path), recursive=True))
            paths = [match for match in matches if os.path.isfile(match)]
        if not paths:
            raise ValueError(
                "Expected an image file, a pattern that matches some, or a folder with some. "
                f"Received: {source!r}, where no image was found."
            )
        found.update(dict.fromkeys(map(str, paths)))
    paths = list(found)
    return [paths[index] for index in spread(len(paths), count)]


def spread(total: int, count: int | None) -> list[int]:
    """Returns at most `count` numbers, evenly spread from 0 to `total` - 1."""
    if count is None or count >= total:
        return list(range(total))
    return [(2 * index + 1) * total // (2 * count) for index in range(count)]


def from_files(
    model: Any,
    sources: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    count: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Samples:
    """Loads image files as a model takes them.

    At most `count` images, of sources as for `find_images`, are prepared for the model.

    Raises:
        ValueError: nothing found, a file that is no whole image, or another kind of model.
    """
    from keras_vit.images.pillow_decoding import load_image
    from keras_vit.models.config import config_of

    config_of(model)
    paths = find_images(sources, count)
    return Samples(
        images=np.stack([load_image(path, model) for path in paths]),
        names=tuple(os.path.basename(path) for path in paths),
        class_names=None if class_names is None else tuple(class_names),
        photos=tuple(seen_photo(path, model.preprocessing) for path in paths),
    )


def from_dataset(
    model: Any,
    name_or_folder: str | os.PathLike,
    *,
    count: int = 16,
    split: str | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Samples:
    """Takes images, evenly spread over a split of a data set, as a model takes them.

    At most `count` images are prepared for the model, of a split of `keras_vit.data.load`; None
    takes the last of train, validation and test that there is.

    Raises:
        ValueError: an unknown data set or split, or a model with another number of classes.
    """
    import tensorflow as tf

    from keras_vit import data
    from keras_vit.models.config import config_of

    config = config_of(model)
    dataset = data.load(name_or_folder, data_dir=data_dir)
    if config.num_classes not in (0, dataset.num_classes):
        raise ValueError(
            f"Expected a model for the {dataset.num_classes} classes of {dataset.name!r}. "
            f"Received: one for {config.num_classes}. Give the images with `images` instead."
        )
    role = split or [role for role in data.dataset.SPLITS if role in dataset.splits][-1]
    whole = dataset.split(role)
    chosen = spread(whole.num_examples, count)
    numbers = tf.constant(chosen, tf.int64)

    def references():
        numbered = whole.references().enumerate()
        kept = numbered.filter(lambda number, _: tf.reduce_any(number == numbers))
        return kept.map(lambda _, reference: reference)

    part = dataclasses.replace(whole, references=references, num_examples=len(chosen))
    batches = data.evaluation_batches(
        part, model.preprocessing, batch_size=len(chosen), num_classes=dataset.num_classes
    )
    images, labels = next(iter(batches))
    references = list(part.references())
    names = [f"{role} {number}" for number in chosen]
    if part.images_are_paths:
        paths = (pathlib.Path(one["image"].numpy().decode()) for one in references)
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    return Samples(
        images=images.numpy(),
        names=tuple(names),
        labels=tuple(labels.numpy().argmax(-1).tolist()) if dataset.task == "classes" else None,
        class_names=dataset.class_names,
        photos=tuple(
            seen_photo(part.read(one)["image"].numpy(), model.preprocessing) for one in references
        ),
    )
