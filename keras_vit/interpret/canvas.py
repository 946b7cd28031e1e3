"""What all figures share: colours, sizes, images for the eye, writing to a file."""

from __future__ import annotations

import os
import pathlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.files import replacing
from keras_vit.images.spec import Preprocessing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAT_COLORS = "inferno"
GRID_COLORS = "viridis"
VALUE_COLORS = "cividis"
BLUE = "#0072B2"  # blue and vermilion are told apart with any colour vision (Okabe and Ito)
VERMILION = "#D55E00"
FONT_SIZE = 9
SMALL_SIDE = 64  # pixels below which they are shown as such
COLUMN_WIDTH = 6.4  # inches
TEXT = {"parse_math": False}  # names are text, whatever dollars are in them


def displayable(images: Any, preprocessing: Preprocessing | None = None) -> np.ndarray:
    """Turns prepared images back into ones for the eye.

    Args:
        images: (batch, height, width, channels) as the model takes them; or one image without the
            batch.
        preprocessing: what was done to them, `model.preprocessing`. None, or one for another
            number of channels, stretches the values of all images to [0, 1].

    Returns:
        float32 in [0, 1], the same shape but with 1 or 3 channels: of two channels the first is
        kept, of more than three the first three.
    """
    images = np.asarray(images, dtype=np.float32)
    channels = images.shape[-1]
    if preprocessing is not None and len(preprocessing.mean) in (1, channels):
        std, mean = np.float32(preprocessing.std), np.float32(preprocessing.mean)
        images = images * std + mean
    else:
        low, high = float(images.min()), float(images.max())
        images = (images - low) / max(high - low, 1e-12)
    images = np.clip(images, 0, 1)
    return images[..., :3] if channels >= 3 else images[..., :1]


def save(figure: Figure, path: str | os.PathLike, dpi: int = 150) -> pathlib.Path:
    """Writes a figure beside its target and moves it into place.

    Args:
        figure: from any function of `keras_vit.interpret.plot`.
        path: the target; its suffix says the format (`.png`, `.svg`, `.pdf`). Missing folders are
            made.
        dpi: dots per inch of a `.png`.

    Returns:
        The path.

    Raises:
        ValueError: a suffix that matplotlib cannot write; no file is left behind.
    """
    path = pathlib.Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:] not in kinds:
        raise ValueError(
            f"Expected the suffix of `path` to be one of {sorted(kinds)}. Received: {str(path)!r}."
        )
    with replacing(path) as temporary, embedded_fonts():
        figure.savefig(temporary, dpi=dpi)
    return path


def embedded_fonts() -> AbstractContextManager:
    """Within it, a `.pdf` holds its fonts whole (TrueType), as journals and editors want them."""
    import matplotlib

    return matplotlib.rc_context({"pdf.fonttype": 42})


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """Returns an empty white figure, sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE + 2, **TEXT)
    return figure


def check_images(name: str, images: Any) -> list[np.ndarray]:
    """Returns images for the eye, each of its own size, as `check_image` does."""
    images = [check_image(name, image) for image in images]
    if not images:
        raise ValueError(f"Expected `{name}` to hold at least one image. Received: none.")
    return images


def check_image(name: str, image: Any) -> np.ndarray:
    """Returns an image for the eye as float32 in [0, 1] and checks rank, channels and range."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        image = image / np.float32(255)
    image = image.astype(np.float32)
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(
            f"Expected `{name}` of shape (height, width, 1 or 3). Received: shape {image.shape}."
        )
    if image.size and (image.min() < -1e-3 or image.max() > 1 + 1e-3):
        raise ValueError(
            f"Expected `{name}` in [0, 1]; `plot.displayable(images, model.preprocessing)` makes "
            f"it so. Received: values in [{image.min():.3g}, {image.max():.3g}]."
        )
    return np.clip(image, 0, 1)


def bare(axes: Axes) -> None:
    """Takes ticks and frame from a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draws one image (height, width, 1 or 3) in [0, 1]; small ones with visible pixels."""
    height, width, _ = image.shape
    axes.imshow(
        np.broadcast_to(image, (height, width, 3)),
        extent=(0, width, height, 0),
        interpolation="nearest" if max(height, width) < SMALL_SIDE else "antialiased",
    )
    bare(axes)


def color_bar(
    figure: Figure,
    axes: Any,
    limits: tuple[float, float],
    label: str,
    *,
    colors: str = HEAT_COLORS,
    ends: Any = None,
    extend: str = "neither",
    font_size: float = FONT_SIZE,
) -> None:
    """Adds the scale of the colours to the right of `axes`.

    `ends` are words for the first and the last colour instead of numbers; `extend` says at which
    ends there are values beyond: "neither", "min", "max" or "both".
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(norm=Normalize(*limits), cmap=colors)
    bar = figure.colorbar(scale, ax=axes, shrink=0.85, pad=0.02, aspect=30, extend=extend)
    bar.set_label(label, fontsize=font_size, **TEXT)
    if ends:
        bar.set_ticks(limits, labels=ends)
    bar.ax.tick_params(labelsize=font_size - 1)
    bar.outline.set_visible(False)


def mosaic(tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lays tiles out as one image, with gaps of NaN of about a twelfth of a tile.

    Args:
        tiles: (rows, columns, height, width), or with channels behind.

    Returns:
        The image (total height, total width) float32, or with channels; the vertical centre of
        each row and the horizontal centre of each column, in its pixels.
    """
    rows, columns, *sides = tiles.shape[:4]
    enlarge = -(-24 // max(sides))  # small tiles need more pixels for a narrow gap
    height, width = (side * enlarge for side in sides)
    gap = max(1, round(max(height, width) / 12))
    canvas = np.full(
        (rows, height + gap, columns, width + gap, *tiles.shape[4:]), np.nan, np.float32
    )
    large = tiles.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    canvas[:, :height, :, :width] = large.swapaxes(1, 2)
    canvas = canvas.reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[4:])
    centers = (
        np.arange(count) * (side + gap) + (side - 1) / 2
        for count, side in ((rows, height), (columns, width))
    )
    return canvas[:-gap, :-gap], *centers
