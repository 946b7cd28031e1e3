"""Encoded images become pixels inside a TensorFlow graph, upright and within limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_vit.images import gif, header
from keras_vit.images.pillow_decoding import MAX_PIXELS

MAX_BYTES = 32 * 2**20
"""Longer bodies are refused before they are decoded."""


def decode_image(data: Any, channels: int = 3) -> Any:
    """Decodes one image, upright.

    Args:
        data: scalar string: a JPEG, PNG, GIF (its first frame), BMP or WebP file.
        channels: 3 for RGB, or 1 for grey.

    Returns:
        uint8 (height, width, channels).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for anything but such an image, more
            than `MAX_BYTES` bytes or more than `MAX_PIXELS` pixels.
    """
    kind = header.image_kind(data)
    data, _, _ = _check_size(data, kind)
    pixels = tf.switch_case(
        kind,
        {
            header.JPEG: lambda: _decode_jpeg(data),
            header.BMP: lambda: _decode_bmp(data),
            header.GIF: lambda: _decode_any(gif.first_frame(data, MAX_PIXELS)),
        },
        default=lambda: _decode_any(data),
    )
    pixels = tf.ensure_shape(pixels, [None, None, 3])
    return pixels if channels == 3 else _grey(pixels)


def decode_window(
    data: Any,
    window: Callable[[Any, Any], Any],
    channels: int = 3,
    min_size: tuple[int, int] | None = None,
) -> Any:
    """Decodes a part of one image, upright; of a JPEG little more than that part.

    A JPEG with a rotation mark, and any other format, is decoded whole and then cut.

    Args:
        data: scalar string: a JPEG, PNG, GIF (its first frame), BMP or WebP file.
        window: is given the height and width of the image, int32 scalars, and returns int32 `(4,)`:
            top, left, height and width of the part, which lies inside the image.
        channels: 3 for RGB, or 1 for grey.
        min_size: height and width in pixels that are enough. Where the part of a JPEG is at least
            2, 4 or 8 times as large, it is decoded at that fraction of its size, each pixel about
            the mean of those it stands for. None for full size.

    Returns:
        uint8 (height, width, channels).

    Raises:
        tf.errors.InvalidArgumentError: as for `decode_image`.
    """

    def choose(height, width):
        return window(tf.cast(height, tf.int32), tf.cast(width, tf.int32))

    def part_of_jpeg():
        whole, height, width = _check_size(data, tf.constant(header.JPEG))
        return _decode_jpeg_window(whole, choose(height, width), min_size)

    def part_of_whole():
        pixels = decode_image(data)
        top, left, height, width = tf.unstack(choose(*tf.unstack(tf.shape(pixels)[:2])))
        return tf.slice(pixels, [top, left, 0], [height, width, 3])

    is_plain = tf.cond(
        header.is_jpeg(data),
        lambda: header.jpeg_orientation(data) == 1,
        lambda: tf.constant(False),
    )
    pixels = tf.ensure_shape(tf.cond(is_plain, part_of_jpeg, part_of_whole), [None, None, 3])
    return pixels if channels == 3 else _grey(pixels)


def _decode_jpeg_window(data: Any, box: Any, min_size: tuple[int, int] | None) -> Any:
    def at(ratio):
        return tf.image.decode_and_crop_jpeg(
            data, box // ratio, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    if min_size is None:
        return at(1)
    spare = tf.reduce_min(box[2:] // tf.constant(min_size, tf.int32))
    halvings = sum(tf.cast(spare >= ratio, tf.int32) for ratio in (2, 4, 8))
    return tf.switch_case(halvings, [lambda ratio=ratio: at(ratio) for ratio in (1, 2, 4, 8)])


def _check_size(data: Any, kind: Any) -> tuple[Any, Any, Any]:
    """Returns the data, to be used from here on, and the height and width in its header."""
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.strings.length(data) <= MAX_BYTES, ["more bytes than allowed"])]
    ):
        height, width = header.image_size(data, kind)
    sensible = (height > 0) & (width > 0) & (height <= MAX_PIXELS) & (width <= MAX_PIXELS)
    with tf.control_dependencies(
        [tf.debugging.Assert(sensible & (height * width <= MAX_PIXELS), ["size", height, width])]
    ):
        return tf.identity(data), height, width


def _grey(pixels: Any) -> Any:
    weights = tf.constant([[299.0], [587.0], [114.0]]) / 1000  # ITU-R BT.601, as Pillow's
    return tf.cast(tf.round(tf.tensordot(tf.cast(pixels, tf.float32), weights, 1)), tf.uint8)


def _decode_any(data: Any) -> Any:
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _decode_jpeg(data: Any) -> Any:
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return upright(pixels, header.jpeg_orientation(data))


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
