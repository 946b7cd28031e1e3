"""Photographs that scikit-image and scikit-learn ship, and cuts of the things that they show."""

import os
from pathlib import Path

import numpy as np

# Where each thing is: left, top, right, bottom in pixels.
_REGIONS = {
    "fur": ("chelsea.png", (110, 10, 330, 90)),
    "wood": ("coffee.png", (0, 90, 80, 400)),
    "cloth": ("astronaut.png", (40, 300, 230, 400)),
    "engine": ("motorcycle_left.png", (230, 180, 420, 330)),
    "floor": ("motorcycle_left.png", (0, 400, 741, 500)),
    "sky": ("china.jpg", (300, 10, 640, 180)),
    "trees": ("china.jpg", (350, 310, 640, 427)),
    "roofs": ("china.jpg", (110, 80, 320, 330)),
    "petals": ("flower.jpg", (195, 120, 415, 330)),
    "leaves": ("flower.jpg", (450, 0, 640, 380)),
    "dusk": ("rocket.jpg", (190, 20, 300, 320)),
    "stars": ("hubble_deep_field.jpg", (0, 0, 1000, 872)),
    "tissue": ("ihc.png", (0, 0, 512, 512)),
    "bricks": ("brick.png", (0, 0, 512, 512)),
    "grass": ("grass.png", (0, 0, 512, 512)),
    "gravel": ("gravel.png", (0, 0, 512, 512)),
}
PHOTOGRAPHS = (
    "chelsea.png", "coffee.png", "astronaut.png", "motorcycle_left.png", "china.jpg", "flower.jpg",
)  # fmt: skip
_SIDES = (32, 64)  # pixels of a cut, least and most
_LEARNED_FROM = 0.7  # share of a region, its left part; the rest is held out


def find_photograph(name: str) -> Path:
    """Returns where a photograph lies.

    Raises:
        ImportError: scikit-image is not installed.
        FileNotFoundError: it is there without this photograph.
    """
    import sklearn.datasets

    places = [Path(sklearn.datasets.__file__).parent / "images" / name]
    if not places[0].is_file():
        import skimage.data

        places.append(Path(skimage.data.__file__).parent / name)
    if not places[-1].is_file():
        raise FileNotFoundError(
            f"Expected {name} beside the other photographs of scikit-image. Received: no file "
            f"{str(places[-1])!r}. Install scikit-image anew."
        )
    return places[-1]


def write_crops(folder: str | os.PathLike, count: int = 40, seed: int = 0) -> None:
    """Writes `train/THING/` and `val/THING/`: cuts of 32 to 64 pixels, as PNG files.

    The cuts to learn from are of the left 70 % of each region, the others of the rest.

    Args:
        folder: made if needed.
        count: cuts of each thing to learn from; a quarter as many are held out.
        seed: of places and sizes.
    """
    from PIL import Image

    draw = np.random.default_rng(seed)
    for thing, (name, (left, top, right, bottom)) in _REGIONS.items():
        photograph = Image.open(find_photograph(name)).convert("RGB")
        border = round(left + _LEARNED_FROM * (right - left))
        for part, number, (first, last) in (
            ("train", count, (left, border)),
            ("val", -(-count // 4), (border, right)),
        ):
            place = Path(folder) / part / thing
            place.mkdir(parents=True, exist_ok=True)
            for index in range(number):
                most = min(_SIDES[1], last - first, bottom - top)
                side = int(draw.integers(min(_SIDES[0], most), most + 1))
                x = int(draw.integers(first, last - side + 1))
                y = int(draw.integers(top, bottom - side + 1))
                cut = photograph.crop((x, y, x + side, y + side))
                cut.save(place / f"{index:03d}.png")


def write_photographs(folder: str | os.PathLike) -> None:
    """Writes the whole photographs that most of the things are cut from, as JPEG files.

    Args:
        folder: made if needed.
    """
    from PIL import Image

    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in PHOTOGRAPHS:
        photograph = Image.open(find_photograph(name)).convert("RGB")
        photograph.save(Path(folder) / f"{Path(name).stem}.jpg", quality=95)
