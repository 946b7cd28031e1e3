"""Arrays that fit another model of the same architecture: other channels, patches, distances.

Positions are not here: their rows of prefix tokens take part in the class token (`load.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.layers.position_resize import interpolation_matrix
from keras_vit.layers.relative_bias import resize_bias_table
from keras_vit.vocabulary import PREFIX_ROWS
from keras_vit.weights.layouts.bound import BIAS_TABLE, PATCHES

_ROOT = "stem/root/kernel"


@dataclasses.dataclass(frozen=True)
class Refit:
    """How one stored array becomes one of another shape.

    Attributes:
        apply: canonical array to canonical array.
        note: what is done, with the sizes.
    """

    apply: Callable[[np.ndarray], np.ndarray]
    note: str


def find_refits(
    config: Any, bound: Any, wanted: Mapping[str, Any], channels: Sequence[int | None] | None = None
) -> Iterator[tuple[str, Refit]]:
    """Yields what has to be made to fit, by canonical name.

    Args:
        config: of the model.
        bound: the checkpoint.
        wanted: shapes of the model by canonical name.
        channels: as in `adapt_channels`.

    Raises:
        ValueError: `channels` that do not fit.
    """
    kernel = _ROOT if config.hybrid is not None else PATCHES
    if kernel in bound.shapes and bound.patch_shape is not None:
        yield from _kernel_refits(kernel, config, bound, channels)
    tables = [name for name in wanted if name.endswith(BIAS_TABLE) and name in bound.shapes]
    if tables and bound.bias_grid != config.grid_size:
        old, new, relative = bound.bias_grid, config.grid_size, config.relative_position_bias
        beyond = PREFIX_ROWS if config.num_prefix_tokens else 0
        for name in tables:
            yield (
                name,
                Refit(
                    lambda array: np.asarray(
                        resize_bias_table(array, old, new, beyond, relative.interpolation)
                    ),
                    f"{name}: resized, {_arrow(old, new)} ({relative.interpolation})",
                ),
            )


def _kernel_refits(
    name: str, config: Any, bound: Any, channels: Sequence[int | None] | None
) -> Iterator[tuple[str, Refit]]:
    height, width, depth = bound.patch_shape
    if name == _ROOT:
        height, width, depth, _ = bound.shapes[_ROOT]
    patch = height if name == _ROOT else config.patch_size
    lines = []
    if channels is not None or depth != config.in_channels:
        which = "" if channels is None else f", {tuple(channels)}"
        lines.append(f"channels {depth} -> {config.in_channels}{which}")
        adapt_channels(np.zeros((1, depth, 1)), config.in_channels, channels)
    if (patch, patch) != (height, width):
        lines.append(f"patch {_arrow((height, width), (patch, patch))} (pseudo-inverse)")
    if not lines:
        return

    def apply(array: np.ndarray) -> np.ndarray:
        kernel = array.reshape(height * width, depth, -1)
        kernel = adapt_channels(kernel, config.in_channels, channels)
        if name == _ROOT:
            return kernel.reshape(height, width, config.in_channels, -1)
        kernel = kernel.reshape(height, width, -1)
        return resize_kernel(kernel, patch).reshape(-1, array.shape[-1])

    yield name, Refit(apply, f"{name}: made to fit, {'; '.join(lines)}")


def adapt_channels(
    kernel: np.ndarray, count: int, channels: Sequence[int | None] | None = None
) -> np.ndarray:
    """Makes a kernel of the first layer read images of other channels.

    Args:
        kernel: `(values, stored channels, outputs)`.
        count: channels that it is to read.
        channels: for each of them the stored channel that it is read as, or None for one that is
            not read; where several are read as the same, they share its weights equally. Without,
            one channel is read as all stored ones, and more as the stored ones in turn, all scaled
            by stored / wanted channels.

    Returns:
        `(values, count, outputs)`.

    Raises:
        ValueError: another number of `channels`, or one that is not stored.
    """
    stored = kernel.shape[1]
    if channels is None:
        if count == stored:
            return kernel
        if count == 1:
            return kernel.sum(1, keepdims=True)
        return kernel[:, np.arange(count) % stored] * (stored / count)
    known = [channel for channel in channels if channel is not None]
    if len(channels) != count or not all(channel in range(stored) for channel in known):
        raise ValueError(
            f"Expected `channels` as {count} numbers from 0 to {stored - 1}, or None for one that "
            f"is not read. Received: channels={tuple(channels)}."
        )
    made = np.zeros((kernel.shape[0], count, kernel.shape[2]), kernel.dtype)
    for place, channel in enumerate(channels):
        if channel is not None:
            made[:, place] = kernel[:, channel] / known.count(channel)
    return made


def resize_kernel(kernel: np.ndarray, patch_size: int) -> np.ndarray:
    """Makes a patch kernel read patches of another size.

    What it makes of a patch that is enlarged is what it made of the patch; of one that is reduced,
    as nearly as can be.

    Args:
        kernel: `(rows, columns, values)`.
        patch_size: side of the patches wanted.

    Returns:
        `(patch_size, patch_size, values)`.

    Reference: "FlexiViT" (arXiv 2212.08013), section 3.4.
    """
    if kernel.shape[:2] == (patch_size, patch_size):
        return kernel
    rows, columns = (
        np.linalg.pinv(np.asarray(interpolation_matrix(patch_size, side, "bicubic_antialias")).T)
        for side in kernel.shape[:2]
    )
    return np.einsum("ab,dc,bcv->adv", rows, columns, kernel, optimize=True).astype(kernel.dtype)


def _arrow(old: Sequence[int], new: Sequence[int]) -> str:
    return " -> ".join("x".join(map(str, sides)) for sides in (old, new))
