"""What every measure needs to know about a model: does it fit, which grid, which tokens answer."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_vit.checks import check_int
from keras_vit.models.config import config_of
from keras_vit.models.poolings import POOLINGS
from keras_vit.models.vision_transformer import VisionTransformer


def check_images(model: Any, images: Any) -> np.ndarray:
    """Returns prepared images as a float32 array that the model takes.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: (batch, height, width, channels), as the model takes them: what leads to its own
            images (`input_tensor`) is part of it.

    Raises:
        ValueError: another kind of model, one of several inputs, no image, or a shape that the
            model does not take.
    """
    config_of(model)
    if len(model.inputs) != 1:
        raise ValueError(
            f"Expected a model of one input. Received: {model.name!r} of {len(model.inputs)} "
            "inputs. Pass one that is built without `input_tensor`."
        )
    shape = model.inputs[0].shape[1:]
    images = np.asarray(ops.convert_to_numpy(images), dtype=np.float32)
    fits = (
        images.ndim == 4
        and len(images)
        and all(
            expected in (None, received)
            for expected, received in zip(shape, images.shape[1:], strict=True)
        )
    )
    if not fits:
        raise ValueError(
            f"Expected images of shape (batch, {', '.join(map(str, shape))}), "
            f"at least one of them. Received: shape {images.shape}."
        )
    grid_of(model, images)
    return images


def grid_of(model: VisionTransformer, images: np.ndarray) -> tuple[int, int]:
    """Returns the patches of images as (rows, columns).

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: what the model takes, (batch, height, width, channels); what leads to its own
            images may change their size.

    Raises:
        ValueError: own images that are no whole number of patches.
    """
    stride = model.config.patch_stride
    sides = model.parts.ways["images"].compute_output_shape(images.shape)[1:3]
    if None in sides:
        sides = model.parts.ways["images"](images[:1]).shape[1:3]
    if any(side % stride for side in sides) and not model.config.drop_remainder:
        raise ValueError(
            f"Expected height and width divisible by {stride} pixels. "
            f"Received: {sides[0]} x {sides[1]} pixels."
        )
    return (sides[0] // stride, sides[1] // stride)


def batches(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yields `images` in pieces of at most `batch_size`.

    Raises:
        ValueError: a size below 1.
    """
    check_int("batch_size", batch_size, 1)
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]


def to_array(tensor: Any) -> np.ndarray:
    """Returns a tensor of any backend and precision as a float32 array."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def readout(model: VisionTransformer, tokens: Any) -> np.ndarray:
    """Says how much each final token counts in the model's output.

    Args:
        model: a `keras_vit.VisionTransformer`.
        tokens: the output of the last block, (batch, tokens, hidden).

    Returns:
        (batch, tokens) float32, at least 0 and summing to one: all on the class token where the
        pooling reads it, or where there is one and no pooling; with attention pooling the probe's
        attention, mean over heads; otherwise the same for every token that is pooled.
    """
    config = model.config
    pooling = POOLINGS[config.pooling]
    batch, length = tokens.shape[:2]
    weights = np.zeros((batch, length), np.float32)
    if pooling.attends:
        read = model.parts.finish(tokens)
        _, attention = model.parts.pooling(read, return_attention=True)
        return to_array(attention)[:, :, 0].mean(axis=1)
    if pooling.tokens or (pooling.keeps_all and config.class_token):
        weights[:, 0] = 1
    elif config.pooling_includes_prefix_tokens:
        weights[:] = 1 / length
    else:
        weights[:, config.num_prefix_tokens :] = 1 / (length - config.num_prefix_tokens)
    return weights
