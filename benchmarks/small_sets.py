"""Small sets of real images to learn from: what packages ship, and a folder of photos."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import ImageDataset, Split

_TILE = 32  # pixels
_TEXTURES = (
    "brick.png", "grass.png", "gravel.png", "ihc.png", "hubble_deep_field.jpg", "coins.png",
    "retina.jpg", "page.png",
)  # fmt: skip
_COLOURED = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png",
)  # fmt: skip
_SHORTER_SIDE = 128  # of a photo that is kept, pixels


@dataclasses.dataclass(frozen=True)
class SmallSet:
    """A set of images of which a few are learned from.

    Attributes:
        what: in words.
        read: makes all images, uint8, and their labels; a third value says which may be learned
            from, None for any.
        train: images a class to learn from.
        test: images at most to be measured on.
        mirrors: whether a mirrored image is one of the same class.
        enlarged: how much larger it is shown to a model than the others.
    """

    what: str
    read: Callable[[], tuple[list[np.ndarray], np.ndarray, np.ndarray | None]]
    train: int
    test: int = 200
    mirrors: bool = True
    enlarged: float = 1.0

    def draw(self, seed: int) -> ImageDataset:
        """Draws training and test images that have nothing in common.

        Args:
            seed: of the draw.
        """
        images, labels, learnable = self.read()
        draw = np.random.default_rng(seed)
        may = np.ones(len(labels), bool) if learnable is None else learnable
        train = np.concatenate([
            draw.permutation(np.flatnonzero(may & (labels == label)))[: self.train]
            for label in np.unique(labels)
        ])  # fmt: skip
        others = np.ones(len(labels), bool) if learnable is None else ~learnable
        others[train] = False
        test = draw.permutation(np.flatnonzero(others))[: self.test]
        names = tuple(f"class {label}" for label in np.unique(labels))
        splits = {
            name: _split([images[i] for i in chosen], labels[chosen], name)
            for name, chosen in (("train", train), ("test", test))
        }
        return ImageDataset(name=self.what, class_names=names, **splits)


def _split(images: Sequence[np.ndarray], labels: np.ndarray, name: str) -> Split:
    import tensorflow as tf
    from PIL import Image

    encoded = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        encoded.append(file.getvalue())
    examples = {"image": encoded, "label": np.asarray(labels, np.int64)}
    return Split(name, len(labels), lambda: tf.data.Dataset.from_tensor_slices(examples))


@functools.lru_cache
def _digits():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return list((images.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)), labels, None


@functools.lru_cache
def _faces():
    """100 faces and 100 other cuts, 25 x 25, of scikit-image's `lfw_subset`."""
    import skimage.data

    images = np.load(Path(skimage.data.__file__).parent / "lfw_subset.npy")
    return list((images * 255).astype(np.uint8)), np.arange(200) // 100, None


def _tiles(photos: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray, None]:
    """Cuts photos into tiles that do not overlap; the label is the photo."""
    tiles, labels = [], []
    for label, photo in enumerate(photos):
        for top in range(0, photo.shape[0] - _TILE + 1, _TILE):
            for left in range(0, photo.shape[1] - _TILE + 1, _TILE):
                tiles.append(photo[top : top + _TILE, left : left + _TILE])
                labels.append(label)
    return tiles, np.asarray(labels), None


def _open(name: str, mode: str) -> np.ndarray:
    import skimage.data
    from PIL import Image

    path = Path(skimage.data.__file__).parent / name
    return np.asarray(Image.open(path).convert(mode))


@functools.lru_cache
def _textures():
    """Grey tiles of one brightness and contrast, so that these tell nothing."""
    tiles, labels, _ = _tiles([_open(name, "L")[:512, :512] for name in _TEXTURES])
    same = [(tile - tile.mean()) / (tile.std() + 1) * 40 + 128 for tile in tiles]
    return [np.clip(tile, 0, 255).astype(np.uint8) for tile in same], labels, None


@functools.lru_cache
def _photo_tiles():
    from sklearn.datasets import load_sample_images

    photos = [*load_sample_images().images, *(_open(name, "RGB") for name in _COLOURED)]
    return _tiles([photo[:416, :416] for photo in photos])


@functools.lru_cache
def _folder(folder: str):
    """Photos of `train/CLASS/` to learn from and `val/CLASS/` to be measured on."""
    from PIL import Image

    images, labels, learnable = [], [], []
    classes = sorted(path.name for path in (Path(folder) / "train").iterdir())
    for part in ("train", "val"):
        for label, name in enumerate(classes):
            for path in sorted((Path(folder) / part / name).glob("*.jp*g")):
                with Image.open(path) as photo:
                    scale = _SHORTER_SIDE / min(photo.size)
                    size = [round(side * scale) for side in photo.size]
                    images.append(np.asarray(photo.convert("RGB").resize(size)))
                labels.append(label)
                learnable.append(part == "train")
    return images, np.asarray(labels), np.asarray(learnable)


SETS: dict[str, SmallSet] = {
    "digits, 5 a class": SmallSet("digits", _digits, 5, mirrors=False),
    "digits, 25 a class": SmallSet("digits", _digits, 25, mirrors=False),
    "textures": SmallSet("textures", _textures, 10),
    "photo tiles, 10 a class": SmallSet("photo tiles", _photo_tiles, 10),
    "photo tiles, 40 a class": SmallSet("photo tiles", _photo_tiles, 40),
    "faces": SmallSet("faces", _faces, 20, test=160),
}


def with_folder(folder: str | None) -> dict[str, SmallSet]:
    """Returns all sets, with a folder of photos where one is given."""
    if folder is None:
        return SETS
    photos = SmallSet("photos", functools.partial(_folder, folder), 60, enlarged=5 / 3)
    return {**SETS, "ants and bees": photos}
