"""The first frame of an animated WebP, made a picture of its own inside a TensorFlow graph.

TensorFlow 2.21 cannot make RGB of an animation, and its other ways of reading one corrupt the
memory.
"""

from typing import Any

import tensorflow as tf

from keras_vit.images.chunks import find_in_webp

_FRAME_HEADER = 16  # bytes of a frame before its picture


def first_frame(data: Any) -> tuple[Any, Any, Any]:
    """Takes the first frame out of an animated WebP.

    Returns:
        The WebP of one picture, scalar string; height and width of the screen, int32 (2,); top and
        left of the picture on it, int32 (2,).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for a file without a whole frame, or one
            whose frame reaches beyond its screen.

    Reference: WebP Container Specification, "Extended File Format" and "Animation".
    """
    start, length = tf.unstack(find_in_webp(data, (b"ANMF",))[0])
    with tf.control_dependencies([tf.debugging.Assert(length >= 24, ["no frame"])]):
        frame = tf.strings.substr(data, start, length)
    left, top, width, height = (_number(frame, place, 3) for place in (0, 3, 6, 9))
    screen = tf.stack([_number(data, 27, 3), _number(data, 24, 3)]) + 1
    corner = 2 * tf.stack([top, left])
    fits = tf.reduce_all(corner + tf.stack([height, width]) < screen)
    with tf.control_dependencies([tf.debugging.Assert(fits, ["frame beyond the screen"])]):
        picture = tf.strings.substr(frame, _FRAME_HEADER, tf.cast(length, tf.int32))
    is_plain = tf.strings.substr(picture, 0, 4) == b"VP8 "
    flags = tf.where(is_plain, b"\0", b"\x10")  # whether there may be alpha
    size = tf.strings.substr(frame, 6, 6)
    head = b"WEBPVP8X\x0a\0\0\0" + flags + b"\0\0\0" + size
    promised = _little_endian(22 + tf.strings.length(picture))
    return b"RIFF" + promised + head + picture, screen, corner


def _number(data: Any, start: int, size: int) -> Any:
    digits = tf.io.decode_raw(tf.strings.substr(data, start, size) + b"\0" * (4 - size), tf.int32)
    return tf.ensure_shape(digits, [1])[0]


def _little_endian(number: Any) -> Any:
    """Writes a number as four bytes."""
    every_byte = tf.constant([bytes([value]) for value in range(256)])
    digits = number // 256 ** tf.range(4) % 256
    return tf.strings.reduce_join(tf.gather(every_byte, digits))
