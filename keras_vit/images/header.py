"""What an encoded image says about itself before it is decoded, read inside a TensorFlow graph.

A header that promises a huge image costs nothing to send, so the size is read first. TensorFlow's
decoders also leave the EXIF rotation of photos alone; the mark is read here. An encoded image, or a
part of it, is a scalar string.
"""

from typing import Any

import tensorflow as tf

from keras_vit.images import bmp
from keras_vit.images.chunks import find_in_png, find_in_webp
from keras_vit.images.containers import (
    EXIF_MARK,
    EXIF_WINDOW,
    JPEG_START,
    MAX_EXIF_ENTRIES,
    ORIENTATION_TAG,
    PNG_START,
)

JPEG, BMP, GIF, PNG, WEBP, UNKNOWN = range(6)

_HEADER_BYTES = 64


def image_kind(data: Any) -> Any:
    """Tells the format by the first bytes.

    Returns:
        int32 scalar: `JPEG`, `PNG`, `GIF`, `BMP`, `WEBP` or `UNKNOWN`.
    """

    def starts(magic: bytes, at: int = 0):
        return tf.strings.substr(_padded(data), at, len(magic)) == magic

    tests = [
        (is_jpeg(data), JPEG),
        (starts(PNG_START), PNG),
        (starts(b"GIF87a") | starts(b"GIF89a"), GIF),
        (starts(b"BM"), BMP),
        (starts(b"RIFF") & starts(b"WEBP", 8), WEBP),
    ]
    kind = tf.constant(UNKNOWN)
    for test, value in tests:
        kind = tf.where(test, value, kind)
    return kind


def is_jpeg(data: Any) -> Any:
    """Tells a JPEG by its first bytes, bool scalar."""
    return tf.strings.substr(data, 0, len(JPEG_START)) == JPEG_START


def image_size(data: Any, kind: Any) -> tuple[Any, Any]:
    """Reads the size that the header promises.

    Args:
        data: scalar string, an encoded image.
        kind: its format, from `image_kind`; a constant `JPEG` leaves out what others need.

    Returns:
        (height, width) in pixels, int64 scalars, those of the screen for an animation; (0, 0) for
        an unknown format.

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for a JPEG without a size.
    """

    def jpeg():
        shape = tf.cast(tf.image.extract_jpeg_shape(data), tf.int64)
        return shape[0], shape[1]

    if tf.get_static_value(kind) == JPEG:
        return jpeg()
    head = tf.strings.substr(_padded(data), 0, _HEADER_BYTES)
    head = tf.ensure_shape(tf.io.decode_raw(head, tf.uint8), [_HEADER_BYTES])
    head = tf.cast(head, tf.int64)

    def png():
        return _big_endian(head[20:24]), _big_endian(head[16:20])

    def gif():
        return _little_endian(head[8:10]), _little_endian(head[6:8])

    def unknown():
        return tf.constant(0, tf.int64), tf.constant(0, tf.int64)

    branches = {
        JPEG: jpeg,
        PNG: png,
        GIF: gif,
        BMP: lambda: bmp.size(data),
        WEBP: lambda: _webp_size(head),
    }
    return tf.switch_case(kind, branches, default=unknown)


def _webp_size(head: Any) -> tuple[Any, Any]:
    """Height and width of the three kinds of WebP: lossy, lossless, extended."""
    bits = _little_endian(head[21:25])
    lossy = _little_endian(head[28:30]) % (1 << 14), _little_endian(head[26:28]) % (1 << 14)
    lossless = bits // (1 << 14) % (1 << 14) + 1, bits % (1 << 14) + 1
    extended = _little_endian(head[27:30]) + 1, _little_endian(head[24:27]) + 1
    is_lossless, is_extended = head[15] == ord("L"), head[15] == ord("X")
    return tuple(
        tf.where(is_extended, extended[i], tf.where(is_lossless, lossless[i], lossy[i]))
        for i in range(2)
    )


def jpeg_exif(data: Any) -> Any:
    """Finds the EXIF directory of a JPEG.

    Returns:
        Scalar string that begins with it, empty where there is none.
    """
    return _behind(tf.strings.substr(data, 0, EXIF_WINDOW), EXIF_MARK)


def png_exif(data: Any) -> Any:
    """Does the same for a PNG; refuses one whose parts are not whole."""
    start, length = tf.unstack(find_in_png(data, (b"eXIf",))[0])
    return tf.strings.substr(data, start, length)


def webp_exif(data: Any) -> Any:
    """Does the same for a WebP; refuses one whose parts are not whole."""

    def extended():
        start, length = tf.unstack(find_in_webp(data, (b"EXIF",))[0])
        exif = tf.strings.substr(data, start, length)
        is_marked = tf.strings.substr(exif, 0, len(EXIF_MARK)) == EXIF_MARK
        return tf.where(is_marked, _behind(exif, EXIF_MARK), exif)

    return tf.cond(is_extended_webp(data), extended, lambda: tf.constant(b""))


def is_extended_webp(data: Any) -> Any:
    """Whether a WebP has room for parts besides its picture, bool scalar."""
    return tf.strings.substr(data, 12, 4) == b"VP8X"


def exif_orientation(exif: Any) -> Any:
    """Reads the rotation mark, as `containers.exif_orientation` does.

    Returns:
        int64 scalar, 1 to 8; 1, upright, where there is no mark or a senseless one.
    """

    def read():
        window = tf.io.decode_raw(tf.strings.substr(exif, 0, EXIF_WINDOW), tf.uint8)
        last = tf.size(window, tf.int64)  # from here on zeros, which are no tag
        values = tf.cast(tf.pad(window, [[0, 1]]), tf.int64)
        little = values[0] == ord("I")

        def number(position, size):
            places = tf.range(size, dtype=tf.int64)
            digits = tf.gather(values, tf.minimum(position[..., None] + places, last))
            powers = 256 ** tf.where(little, places, size - 1 - places)
            return tf.reduce_sum(digits * powers, -1)

        directory = number(tf.constant(4, tf.int64), 4)
        count = tf.minimum(number(directory, 2), MAX_EXIF_ENTRIES)
        entries = directory + 2 + 12 * tf.range(count, dtype=tf.int64)
        marks = tf.boolean_mask(entries, number(entries, 2) == ORIENTATION_TAG)
        orientation = number(tf.concat([marks, [last]], 0)[0] + 8, 2)
        return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)

    return tf.cond(tf.strings.length(exif) > 0, read, lambda: tf.constant(1, tf.int64))


def _behind(data: Any, mark: bytes) -> Any:
    """What follows a mark; nothing where there is none."""
    return tf.concat([tf.strings.split(data, mark, maxsplit=1), [b""]], 0)[1]


def _padded(data: Any) -> Any:
    """The first bytes, followed by zeros so that any of them can be read."""
    return tf.strings.substr(data, 0, _HEADER_BYTES) + b"\0" * _HEADER_BYTES


def _little_endian(digits: Any) -> Any:
    places = tf.constant([256**i for i in range(digits.shape[0])], tf.int64)
    return tf.reduce_sum(digits * places)


def _big_endian(digits: Any) -> Any:
    return _little_endian(digits[::-1])
