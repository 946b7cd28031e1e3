"""Patches that a model uses for something else than what they show.

Large models keep what belongs to the whole image in a few patches of little content, whose features
are far longer than all others; and in some blocks a head gives nearly all attention to one patch,
wherever it looks from. Maps then light up where nothing is.

Reference: "Vision Transformers Need Registers" (arXiv 2309.16588), sections 1 and 2.1; "When
Attention Sink Emerges in Language Models" (arXiv 2410.10781), section 3.2.
"""

from typing import Any

import numpy as np

from keras_vit.interpret.attention_measures import AttentionWalk
from keras_vit.interpret.observe import batches, check_images, grid_of, to_array
from keras_vit.models.config import config_of

NORM_RATIO = 10**0.5
SINK_SHARE = 0.3


def artifact_patches(model: Any, images: Any, *, batch_size: int = 8) -> np.ndarray:
    """Finds the patches that maps had better leave out.

    Such a patch is one of two things. Its features behind the last block, before the norm, are more
    than 3.2 times as long as those of the median patch of its image: artefacts are some 10 times as
    long as others (arXiv 2309.16588, section 1), and the line lies half way on a logarithmic scale.
    The paper's own line, a norm of 150, is that of one model. Or it is a sink: some head of some
    block gives it more than 0.3 of its attention, on average over all tokens that look (arXiv
    2410.10781, section 3.2, where the token is the first of a text). In a small model that may be
    a head that has found the thing: `docs/explanations.md` has figures.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns) bool. With a grid of fewer than four patches an even share
        is a sink's: then there are none.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    config = config_of(model)
    images = check_images(model, images)
    grid, prefix = grid_of(model, images), config.num_prefix_tokens
    found = []
    for piece in batches(images, batch_size):
        walk = AttentionWalk(model, piece)
        sink = np.zeros((len(piece), grid[0] * grid[1]), bool)
        for attention in walk:
            received = attention.mean(axis=2)[:, :, prefix:]  # (batch, heads, patches)
            sink |= (received > SINK_SHARE).any(axis=1)
            del attention
        if sink.shape[1] * SINK_SHARE <= 1:
            sink[:] = False
        norms = np.linalg.norm(to_array(walk.tokens)[:, prefix:], axis=-1)
        long = norms > NORM_RATIO * np.median(norms, axis=1, keepdims=True)
        found.append((sink | long).reshape(len(piece), *grid))
    return np.concatenate(found)


def fill_patches(maps: Any, left_out: Any) -> np.ndarray:
    """Gives patches that are left out of a map the mean of their neighbours.

    Args:
        maps: (batch, grid rows, grid columns).
        left_out: the same shape, such as `artifact_patches` returns.

    Returns:
        The same shape, float32. A patch whose eight neighbours are all left out gets the mean of
        the image; an image of which nothing stays is zero.
    """
    maps, left_out = np.asarray(maps, np.float32), np.asarray(left_out, bool)
    if maps.shape != left_out.shape or maps.ndim != 3:
        raise ValueError(
            "Expected maps and what is left out of the same shape (batch, rows, columns). "
            f"Received: {maps.shape} and {left_out.shape}."
        )
    kept = np.where(left_out, 0, maps)
    total, count = (_around(values) for values in (kept, (~left_out).astype(np.float32)))
    whole = kept.sum(axis=(1, 2)) / np.maximum((~left_out).sum(axis=(1, 2)), 1)
    filled = np.where(count > 0, total / np.maximum(count, 1), whole[:, None, None])
    return np.where(left_out, filled, maps).astype(np.float32)


def _around(values: np.ndarray) -> np.ndarray:
    """The sum over each patch and its eight neighbours."""
    rows, columns = values.shape[1:]
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    return sum(padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3))
