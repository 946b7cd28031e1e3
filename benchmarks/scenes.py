"""Scenes with known masks: objects cut from free photographs, laid on other photographs.

The photographs are those that scikit-image and scikit-learn bring along.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# Outlines (column, row) in pixels of the photograph.
_OUTLINES = {
    "cat": [
        (0, 40), (60, 10), (120, 60), (200, 25), (270, 0), (345, 0), (420, 20), (400, 90),
        (355, 145), (330, 215), (290, 265), (215, 285), (130, 270), (60, 200), (0, 180),
    ],
    "pagoda": [
        (200, 28), (210, 75), (255, 105), (300, 118), (285, 150), (320, 185), (345, 215),
        (335, 235), (365, 290), (350, 330), (310, 400), (110, 400), (95, 300), (60, 280),
        (105, 215), (75, 190), (115, 165), (100, 135), (150, 110), (190, 75),
    ],
    "astronaut": [
        (180, 40), (215, 20), (260, 25), (280, 70), (268, 120), (310, 190), (360, 240),
        (385, 300), (400, 400), (390, 512), (40, 512), (20, 400), (35, 290), (90, 230),
        (150, 200), (200, 130), (180, 90),
    ],
    "motorcycle": [
        (130, 190), (205, 165), (330, 192), (395, 150), (385, 100), (440, 85), (470, 140),
        (530, 190), (565, 250), (600, 310), (598, 385), (568, 418), (520, 400), (480, 345),
        (440, 395), (330, 385), (275, 400), (200, 418), (145, 375), (135, 300), (155, 240),
    ],
    "photographer": [
        (165, 110), (195, 65), (235, 65), (250, 95), (315, 105), (325, 140), (260, 175),
        (250, 215), (285, 205), (290, 225), (225, 290), (205, 330), (200, 512), (20, 512),
        (15, 290), (50, 230), (120, 190),
    ],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Scenes:
    """Pictures, and where the object is in each.

    Attributes:
        images: (count, height, width, 3) uint8.
        masks: (count, height, width) bool, the pixels of the object.
        labels: (count,) integers, the kind of object.
        class_names: of the kinds.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


def cut_objects() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Cuts objects out of photographs.

    Returns:
        Kind -> pixels (height, width, 3) uint8 and mask (height, width) bool, both no larger than
        the object.
    """
    from skimage import data
    from sklearn.datasets import load_sample_image

    china, flower = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    camera = np.repeat(data.camera()[:, :, None], 3, axis=2)
    logo = data.logo()[..., :3]
    wood = data.coffee()[:, :90]
    horse = ~data.horse().astype(bool)
    photographs = {
        "cat": (data.chelsea(), None),
        "pagoda": (china, None),
        "astronaut": (data.astronaut(), None),
        "photographer": (camera, None),
        "dahlia": (flower, _ellipse(flower, (225, 306), (110, 108))),
        "cup": (data.coffee(), _ellipse(data.coffee(), (222, 282), (172, 200))),
        "coin": (_gray(data.coins()), _ellipse(data.coins(), (262, 50), (27, 27))),
        "motorcycle": (data.stereo_motorcycle()[0], None),
        "emblem": (logo, _ellipse(logo, (248, 248), (240, 240))),
        "horse": (np.resize(np.tile(wood, (1, 5, 1)), (*horse.shape, 3)), horse),
    }
    cut = {}
    for name, (image, mask) in photographs.items():
        mask = _polygon(image, _OUTLINES[name]) if mask is None else mask
        rows, columns = np.nonzero(mask)
        box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        cut[name] = (np.asarray(image[box]), mask[box])
    return cut


def grounds() -> list[np.ndarray]:
    """Returns what lies behind the objects: pictures (height, width, 3) uint8 of no thing."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    tinted = [
        (_gray(texture) / 255.0 * tint).astype(np.uint8)
        for texture, tint in (
            (data.grass(), (150, 215, 90)),
            (data.gravel(), (225, 210, 190)),
            (data.brick(), (235, 150, 120)),
        )
    ]
    leaves = load_sample_image("flower.jpg")[:, 450:]
    sky = load_sample_image("china.jpg")[:200, 330:]
    wood = data.coffee()[20:200, :90]
    dusk = data.rocket()[:140, 190:340]
    return [*tinted, leaves, sky, dusk, data.immunohistochemistry(), wood]


def compose(
    count: int, size: int, *, seed: int = 0, share: tuple[float, float] = (0.3, 0.55)
) -> Scenes:
    """Lays one object on each picture, the kinds in turn, at any place.

    Args:
        count: scenes.
        size: side in pixels.
        seed: of places, sizes, flips and grounds.
        share: smallest and largest longer side of an object as a share of the scene's.

    Returns:
        The scenes.
    """
    objects, behind = cut_objects(), grounds()
    names = tuple(objects)
    random = np.random.default_rng(seed)
    images, masks, labels = [], [], np.arange(count) % len(names)
    for label in labels:
        pixels, mask = objects[names[label]]
        scale = size * random.uniform(*share) / max(mask.shape)
        shape = tuple(max(1, round(side * scale)) for side in mask.shape)
        pixels, alpha = _resize(pixels, shape), _resize(np.uint8(255 * mask), shape) / 255.0
        if random.random() < 0.5:
            pixels, alpha = pixels[:, ::-1], alpha[:, ::-1]
        top, left = (int(random.integers(0, size - side + 1)) for side in shape)
        image = _ground(behind[random.integers(len(behind))], size, random)
        whole = np.zeros((size, size))
        whole[top : top + shape[0], left : left + shape[1]] = alpha
        laid = image.copy()
        laid[top : top + shape[0], left : left + shape[1]] = pixels
        images.append(np.uint8(np.round(whole[..., None] * laid + (1 - whole[..., None]) * image)))
        masks.append(whole > 0.5)
    return Scenes(np.stack(images), np.stack(masks), labels, names)


def compose_digits(
    count: int, size: int = 64, *, seed: int = 0, part: slice = slice(None)
) -> Scenes:
    """Lays one handwritten digit on each picture, in any colour, at any place.

    Args:
        count: scenes.
        size: side in pixels.
        seed: of digits, places, sizes, colours and grounds.
        part: of scikit-learn's 1,797 digits.

    Returns:
        The scenes; the mask is the ink.
    """
    from sklearn.datasets import load_digits

    digits, behind = load_digits(), grounds()
    random = np.random.default_rng(seed)
    chosen = random.choice(np.arange(len(digits.images))[part], count)
    images, masks = [], []
    for index in chosen:
        side = int(size * random.uniform(0.4, 0.65))
        ink = np.uint8(digits.images[index] * (255 / 16))
        alpha = _resize(ink, (side, side)) / 255.0
        top, left = (int(random.integers(0, size - side + 1)) for _ in range(2))
        image = _ground(behind[random.integers(len(behind))], size, random)
        whole = np.zeros((size, size))
        whole[top : top + side, left : left + side] = alpha
        color = random.uniform(160, 255, 3) if image.mean() < 128 else random.uniform(0, 90, 3)
        images.append(np.uint8(np.round(whole[..., None] * color + (1 - whole[..., None]) * image)))
        masks.append(whole > 0.5)
    names = tuple(str(digit) for digit in range(10))
    return Scenes(np.stack(images), np.stack(masks), digits.target[chosen], names)


def _ground(picture: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """A square part of a picture, at least half of its shorter side."""
    side = int(min(picture.shape[:2]) * random.uniform(0.5, 1))
    top, left = (int(random.integers(0, whole - side + 1)) for whole in picture.shape[:2])
    return _resize(picture[top : top + side, left : left + side], (size, size))


def _resize(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BICUBIC))


def _gray(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[:, :, None], 3, axis=2)


def _polygon(image: np.ndarray, corners: list[tuple[int, int]]) -> np.ndarray:
    from skimage.draw import polygon2mask

    return polygon2mask(image.shape[:2], [(row, column) for column, row in corners])


def _ellipse(
    image: np.ndarray, center: tuple[float, float], radii: tuple[float, float]
) -> np.ndarray:
    rows, columns = np.indices(image.shape[:2])
    return ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 <= 1
