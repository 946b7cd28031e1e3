"""From encoded images to the input of a model, inside a TensorFlow graph.

The same steps as `keras_vit.load_image`, in operations that a SavedModel can carry. One bad image
does not spoil its batch. Two things differ: the EXIF rotation is read from JPEG files alone, and an
animated WebP is refused, since TensorFlow cannot decode its first frame.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_vit.configs import Preprocessing
from keras_vit.export import gif, image_header
from keras_vit.images import MAX_PIXELS
from keras_vit.preprocessing import preprocess_input

MAX_BYTES = 32 * 2**20
"""Longer bodies are refused before they are decoded."""


def decode_batch(image_bytes: Any, preprocessing: Preprocessing) -> tuple[Any, Any]:
    """Decodes and prepares a batch; images that cannot be decoded become zeros.

    Args:
        image_bytes: string tensor (batch,) of JPEG, PNG, GIF, BMP or WebP images; the batch may be
            empty.
        preprocessing: of 1 or 3 channels.

    Returns:
        float32 (batch, *size, channels), and bool (batch,): whether each could be decoded.
    """
    batch = tf.size(image_bytes, tf.int64)
    shape = [*preprocessing.size, len(preprocessing.mean)]
    decoded = (
        tf.data.Dataset.from_tensor_slices(image_bytes)
        .enumerate()
        .map(
            lambda index, data: (index, prepare(data, preprocessing)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        .ignore_errors()
    )
    # A spare row behind the batch, so that there is one to take even where every image is bad.
    spare = tf.data.Dataset.from_tensors((batch, tf.zeros(shape)))
    rows, images = decoded.concatenate(spare).batch(batch + 1).get_single_element()
    rows = rows[:, tf.newaxis]
    images = tf.scatter_nd(rows, images, [batch + 1, *shape])[:batch]
    valid = tf.scatter_nd(rows, tf.ones_like(rows[:, 0]), [batch + 1])[:batch]
    return images, valid > 0


def prepare(data: Any, preprocessing: Preprocessing) -> Any:
    """Decodes, rotates, resizes, crops and normalises one image.

    Args:
        data: scalar string.
        preprocessing: of 1 or 3 channels.

    Returns:
        float32 (*size, channels).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for anything but such an image, more
            than `MAX_BYTES` bytes or more than `MAX_PIXELS` pixels.
    """
    pixels = decode(data)
    if len(preprocessing.mean) == 1:
        weights = tf.constant([[299.0], [587.0], [114.0]]) / 1000  # ITU-R BT.601, as Pillow's
        pixels = tf.round(tf.tensordot(tf.cast(pixels, tf.float32), weights, 1))
    return preprocess_input(pixels, preprocessing)


def decode(data: Any) -> Any:
    """Decodes one image, upright, to uint8 (height, width, 3); see `prepare`."""
    kind = image_header.image_kind(data)
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.strings.length(data) <= MAX_BYTES, ["more bytes than allowed"])]
    ):
        height, width = image_header.image_size(data, kind)
    sensible = (height > 0) & (width > 0) & (height <= MAX_PIXELS) & (width <= MAX_PIXELS)
    with tf.control_dependencies(
        [tf.debugging.Assert(sensible & (height * width <= MAX_PIXELS), ["size", height, width])]
    ):
        data = tf.identity(data)
    pixels = tf.switch_case(
        kind,
        {
            image_header.JPEG: lambda: _decode_jpeg(data),
            image_header.BMP: lambda: _decode_bmp(data),
            image_header.GIF: lambda: _decode_any(gif.first_frame(data, MAX_PIXELS)),
        },
        default=lambda: _decode_any(data),
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def _decode_any(data: Any) -> Any:
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _decode_jpeg(data: Any) -> Any:
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return upright(pixels, image_header.jpeg_orientation(data))


def _decode_bmp(data: Any) -> Any:
    """Looks colours up in the palette, which TensorFlow's decoder leaves out."""
    pixels = tf.io.decode_bmp(data)

    def from_palette():
        header = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 0, 18), tf.uint8), tf.int32)
        places = 256 ** tf.range(4)
        end = tf.reduce_sum(header[10:14] * places)  # where the pixels start
        start = 14 + tf.reduce_sum(header[14:18] * places)
        table = tf.io.decode_raw(tf.strings.substr(data, start, end - start), tf.uint8)
        return tf.gather(tf.reshape(table, [-1, 4])[:, 2::-1], tf.cast(pixels[..., 0], tf.int32))

    return tf.cond(tf.shape(pixels)[-1] == 1, from_palette, lambda: pixels[..., :3])


def upright(pixels: Any, orientation: Any) -> Any:
    """Turns and mirrors an image as its EXIF mark says.

    Args:
        pixels: (height, width, channels).
        orientation: int64 scalar, 1 to 8.

    Returns:
        The image as it was seen; height and width change places for 5 to 8.
    """

    def where(orientations, change):
        nonlocal pixels
        image, wanted = pixels, tf.reduce_any(orientation == tf.constant(orientations, tf.int64))
        pixels = tf.cond(wanted, lambda: change(image), lambda: image)

    where([5, 6, 7, 8], lambda image: tf.transpose(image, [1, 0, 2]))
    where([2, 3, 6, 7], lambda image: tf.reverse(image, [1]))
    where([3, 4, 7, 8], lambda image: tf.reverse(image, [0]))
    return pixels
