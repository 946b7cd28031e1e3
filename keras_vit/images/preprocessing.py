"""From the pixels of an image to the input of a model: resize, crop, normalise.

`Preprocessing` in `spec` says what is done; here it is done to arrays and tensors. Files and
encoded bytes are read in `pillow_decoding` and `graph_decoding`.
"""

import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.images.carrier import carried, find_carrier
from keras_vit.images.spec import Preprocessing


def get_preprocessing(model_or_preprocessing: Any) -> Preprocessing:
    """Returns the preprocessing itself, or that of a model.

    Args:
        model_or_preprocessing: a `Preprocessing`, a model with one as `model.preprocessing`, or a
            model with such a model inside.

    Raises:
        ValueError: anything else, or a model with several such models inside.
    """
    if isinstance(model_or_preprocessing, Preprocessing):
        return model_or_preprocessing
    if not hasattr(model_or_preprocessing, "preprocessing") and not isinstance(
        model_or_preprocessing, keras.Model
    ):
        raise ValueError(
            "Expected a keras_vit.Preprocessing, or a model that carries one. "
            f"Received: {model_or_preprocessing!r}."
        )
    return carried(find_carrier(model_or_preprocessing))


def resize_plan(
    height: Any, width: Any, preprocessing: Preprocessing, maximum: Callable[..., Any] = max
) -> tuple[Any, Any, Any, Any]:
    """Works out the size to resize to and where to cut.

    The image is resized to `size / crop_fraction`, or with `resize="crop"` to cover that, its
    aspect ratio kept to the pixel, and `size` is cut from the centre. All sizes are whole pixels,
    rounded as torchvision does (timm, where `size` is no square), which the published PyTorch
    checkpoints were evaluated with.

    Args:
        height: pixels, an integer or an integer tensor.
        width: likewise.
        preprocessing: what to do.
        maximum: the larger of two integers; for tensors, that of their library.

    Returns:
        (resized height, resized width, top, left) in pixels.
    """
    # A fraction such as 0.7 of 224 must not fall below the whole number that it means.
    cover = [math.floor(side / preprocessing.crop_fraction + 1e-6) for side in preprocessing.size]
    resized = cover
    if preprocessing.resize == "crop":
        divide = operator.floordiv if cover[0] == cover[1] else _divide
        resized = [
            maximum(divide(height * cover[1], width), cover[0]),
            maximum(divide(width * cover[0], height), cover[1]),
        ]
    margins = (side - kept for side, kept in zip(resized, preprocessing.size, strict=True))
    if preprocessing.crop_offset == "down":
        return (*resized, *(margin // 2 for margin in margins))
    return (*resized, *(_divide(margin, 2) for margin in margins))


def seen_box(
    height: int, width: int, preprocessing: Preprocessing
) -> tuple[float, float, float, float]:
    """Says which part of an image of some pixels a model sees.

    Returns:
        (left, top, right, bottom) in pixels of the image.
    """
    resized_height, resized_width, top, left = resize_plan(height, width, preprocessing)
    out_height, out_width = preprocessing.size
    down, across = height / resized_height, width / resized_width
    return (
        left * across,
        top * down,
        min((left + out_width) * across, width),
        min((top + out_height) * down, height),
    )


def _divide(pixels: Any, by: Any) -> Any:
    """Divides whole numbers, half to even."""
    return (2 * pixels + by - 1 + pixels // by % 2) // (2 * by)


def preprocess_input(images: Any, model_or_preprocessing: Any) -> Any:
    """Makes images of any size the input of a model.

    Resizes with antialias (within half a level of Pillow's on average), crops and normalises in
    float32 as `Preprocessing` says. Works eagerly, in `tf.function` and in `tf.data`, where height,
    width and batch may be unknown; TensorFlow tensors are taken on every Keras backend.

    Args:
        images: array or tensor (height, width, channels) or (batch, height, width, channels),
            values 0 to 255, of an integer or float type.
        model_or_preprocessing: a `Preprocessing`, or a model that carries one.

    Returns:
        float32 tensor ([batch,] *size, channels), values `(x / 255 - mean) / std`.

    Raises:
        ValueError: another rank, other channels than `mean` has entries, or no preprocessing.

    Example:
        >>> import numpy as np
        >>> from keras_vit.images.spec import Preprocessing
        >>> photo = np.full((300, 400, 3), 255, "uint8")
        >>> tuple(preprocess_input(photo, Preprocessing(size=224)).shape)
        (224, 224, 3)
    """
    preprocessing = get_preprocessing(model_or_preprocessing)
    if _is_tensorflow(images):
        images = _resize_tensorflow(images, preprocessing)
    else:
        images = resize_keras(images, preprocessing)
    return normalize(images, preprocessing)


def normalize(images: Any, preprocessing: Preprocessing) -> Any:
    """Scales float32 (..., channels), 0 to 255, to `(x / 255 - mean) / std`; also tensors."""
    std = np.asarray(preprocessing.std, "float64")
    scale = (1 / (255 * std)).astype("float32")
    shift = (np.asarray(preprocessing.mean, "float64") / std).astype("float32")
    return images * scale - shift


def _is_tensorflow(images: Any) -> bool:
    """Whether TensorFlow does the work: its tensors whatever the backend, else its backend."""
    if keras.backend.backend() == "tensorflow":
        return True
    tensorflow = sys.modules.get("tensorflow")  # whoever holds one of its tensors has imported it
    return hasattr(tensorflow, "is_tensor") and tensorflow.is_tensor(images)


def _check_shape(shape: tuple[int | None, ...] | None, preprocessing: Preprocessing) -> None:
    channels = len(preprocessing.mean)
    if shape is None or len(shape) not in (3, 4) or shape[-1] not in (channels, None):
        raise ValueError(
            f"Expected images of shape (height, width, {channels}) or (batch, height, width, "
            f"{channels}), as `mean` of the preprocessing has {channels} entries. "
            f"Received: shape {'unknown' if shape is None else tuple(shape)}."
        )
    if 0 in shape[-3:-1]:
        raise ValueError(f"Expected images of at least one pixel. Received: shape {tuple(shape)}.")


def _resize_tensorflow(images: Any, preprocessing: Preprocessing) -> Any:
    """One kernel resizes and cuts, for sizes known or not: no second copy of a large image."""
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    static = images.shape.as_list() if images.shape.rank is not None else None
    _check_shape(static, preprocessing)
    if images.dtype not in (tf.uint8, tf.float32):
        images = tf.cast(images, tf.float32)
    batch = images if len(static) == 4 else images[tf.newaxis]
    batch = tf.ensure_shape(batch, [None, None, None, len(preprocessing.mean)])
    dynamic = tf.shape(batch)
    height, width = (static[i - 4] or tf.cast(dynamic[i], tf.int64) for i in (1, 2))
    plan = resize_plan(height, width, preprocessing, tf.maximum)
    resized_height, resized_width, top, left = (tf.cast(value, tf.float32) for value in plan)
    batch = tf.raw_ops.ScaleAndTranslate(
        images=batch,
        size=preprocessing.size,
        scale=tf.stack(
            [
                resized_height / tf.cast(height, tf.float32),
                resized_width / tf.cast(width, tf.float32),
            ]
        ),
        translation=tf.stack([-top, -left]),
        kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}[preprocessing.resampling],
        antialias=True,
    )
    batch = tf.clip_by_value(batch, 0.0, 255.0)  # a cubic overshoots
    batch = tf.ensure_shape(batch, [static[0] if len(static) == 4 else 1, *batch.shape[1:]])
    return batch if len(static) == 4 else batch[0]


def resize_keras(images: Any, preprocessing: Preprocessing) -> Any:
    """Resizes and crops with `keras.ops`, on any backend.

    Args:
        images: `(height, width, channels)` or `(batch, height, width, channels)`.
        preprocessing: the size, the filter and what is cut away.
    """
    images = ops.convert_to_tensor(images)
    shape = tuple(images.shape)
    _check_shape(shape, preprocessing)
    height, width = shape[-3:-1]
    resized_height, resized_width, top, left = resize_plan(height, width, preprocessing)
    images = ops.image.scale_and_translate(
        ops.cast(images, "float32"),
        output_shape=(*shape[:-3], *preprocessing.size, shape[-1]),
        scale=ops.convert_to_tensor([resized_height / height, resized_width / width], "float32"),
        translation=ops.convert_to_tensor([-top, -left], "float32"),
        spatial_dims=(len(shape) - 3, len(shape) - 2),
        method={"bilinear": "linear", "bicubic": "cubic"}[preprocessing.resampling],
        antialias=True,
    )
    return ops.clip(images, 0.0, 255.0)
