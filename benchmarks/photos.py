"""Real photographs, as packages ship them, for studies that need no data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

SIDES = (500, 1000)
"""Shortest and longest of the longer sides of the photos, in pixels."""

_JPEG_QUALITY = 85
_SKIMAGE_PHOTOS = (
    "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "retina.jpg",
    "rocket.jpg",
)  # fmt: skip


def real_photos() -> list[np.ndarray]:
    """Returns the photographs that scikit-learn ships, and scikit-image if it is installed.

    Returns:
        uint8 arrays (height, width, 3).
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = list(load_sample_images().images)
    try:
        import skimage.data
    except ImportError:
        return photos
    folder = Path(skimage.data.__file__).parent
    paths = [folder / name for name in _SKIMAGE_PHOTOS if (folder / name).is_file()]
    return photos + [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def write_photos(folder: str | os.PathLike, count: int, seed: int = 0) -> None:
    """Writes JPEG photos of usual sizes into two folders, one a class.

    Each is a part of one of `real_photos`, at least 80 % of either side, resized.

    Args:
        folder: where; must be there.
        count: number of photos.
        seed: of sizes and parts.
    """
    from PIL import Image

    sources, draw = real_photos(), np.random.default_rng(seed)
    for name in "ab":
        (Path(folder) / name).mkdir()
    for number in range(count):
        photo = Image.fromarray(sources[number % len(sources)])
        width, height = (int(side * draw.uniform(0.8, 1)) for side in photo.size)
        left, top = draw.integers(photo.width - width + 1), draw.integers(photo.height - height + 1)
        scale = draw.integers(SIDES[0], SIDES[1] + 1) / max(width, height)
        photo = photo.resize(
            (round(width * scale), round(height * scale)),
            Image.Resampling.BICUBIC,
            box=(left, top, left + width, top + height),
        )
        photo.save(Path(folder) / "ab"[number % 2] / f"{number:05d}.jpg", quality=_JPEG_QUALITY)


def sample_pictures(model: Any, count: int, seed: int = 0) -> np.ndarray:
    """Cuts pictures at random out of scikit-learn's two photographs.

    Args:
        model: a `keras_vit.VisionTransformer` of three channels.
        count: how many.
        seed: of the places and sizes.

    Returns:
        Prepared images, float32 (count, height, width, 3).
    """
    from sklearn.datasets import load_sample_images

    from keras_vit.images.preprocessing import preprocess_input

    photographs = load_sample_images().images
    random = np.random.default_rng(seed)
    pictures = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        side = int(random.integers(100, min(photograph.shape[:2])))
        top, left = (int(random.integers(0, length - side)) for length in photograph.shape[:2])
        cut = photograph[top : top + side, left : left + side]
        pictures.append(np.asarray(preprocess_input(cut[None], model.preprocessing), "float32")[0])
    return np.stack(pictures)
