"""A map and an image -> one picture: the image stays visible beneath the map."""

from typing import Any

import numpy as np

from keras_vit.checks import check_choice
from keras_vit.interpret.canvas import HEAT_COLORS

STYLES = ("colors", "light")
PERCENTILES = (1, 99)
_LEAST, _MOST = 0.2, 0.7  # how much of the colours is seen where the map is lowest and highest
_DARK = 0.15  # brightness of the image where the map is lowest
_LONGEST = 640  # pixels that a small image is enlarged to, so that the map on it is smooth


def enlarge(values: Any, shape: tuple[int, int]) -> np.ndarray:
    """Enlarges what is known of patches to the size of an image, smoothly.

    Args:
        values: (grid rows, grid columns) or (grid rows, grid columns, channels).
        shape: (height, width) in pixels.

    Returns:
        (height, width) or (height, width, channels) float32, which runs through the values at the
        centres of the patches (Catmull-Rom).
    """
    from PIL import Image

    values = np.asarray(values, np.float32)
    layers = np.atleast_3d(values)
    size = (shape[1], shape[0])
    large = [
        np.asarray(Image.fromarray(layers[..., i]).resize(size, Image.Resampling.BICUBIC))
        for i in range(layers.shape[-1])
    ]
    return np.stack(large, axis=-1).reshape(*shape, *values.shape[2:])


def robust_limits(values: Any) -> tuple[float, float]:
    """Returns the values of the first and the last colour: the 1st and the 99th percentile.

    One patch that outshines all others then changes no other's colour.
    """
    values = np.asarray(values, np.float64)
    low, high = np.percentile(values, PERCENTILES)
    if not high > low:
        low, high = values.min(), values.max()
    return float(low), float(max(high, low + 1e-12))


def lay_over(
    image: np.ndarray,
    heat: Any,
    style: str = "colors",
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Lays a map over an image.

    Args:
        image: (height, width, 1 or 3) in [0, 1].
        heat: (grid rows, grid columns), any range.
        style: `"colors"`, or `"light"`: the square root of the map is the brightness of the image.
        limits: values of the least and the most; None takes the 1st and the 99th percentile.

    Returns:
        (height, width, 3) float32 in [0, 1], a whole multiple of the image's size where that is
        small.

    Raises:
        ValueError: an unknown style.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), Figure 6, which is `"light"`.
    """
    import matplotlib

    check_choice("style", style, STYLES)
    times = max(1, _LONGEST // (2 * max(image.shape[:2])))
    image = np.repeat(np.repeat(image, times, axis=0), times, axis=1)
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    low, high = limits or robust_limits(heat)
    strength = np.clip((enlarge(heat, image.shape[:2]) - low) / (high - low), 0, 1)[..., None]
    if style == "light":
        return image * (_DARK + (1 - _DARK) * np.sqrt(strength))
    colors = matplotlib.colormaps[HEAT_COLORS](strength[..., 0])[..., :3].astype(np.float32)
    opacity = _LEAST + (_MOST - _LEAST) * strength
    return (1 - opacity) * image + opacity * colors


def lay_colors(image: np.ndarray, colors: Any) -> np.ndarray:
    """Enlarges the colours of patches to the size of an image.

    Args:
        image: (height, width, 1 or 3); gives the size alone.
        colors: (grid rows, grid columns, 3) in [0, 1]; a fourth channel says what is shown of
            them, as `feature_pca` returns it: the rest is black.

    Returns:
        (height, width, 3) float32 in [0, 1].
    """
    times = max(1, _LONGEST // (2 * max(image.shape[:2])))
    large = enlarge(colors, (image.shape[0] * times, image.shape[1] * times))
    shown = large[..., 3:] > 0.5 if large.shape[-1] == 4 else True
    return np.where(shown, np.clip(large[..., :3], 0, 1), 0)
