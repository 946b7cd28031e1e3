"""What an encoded image says about itself before it is decoded, read inside a TensorFlow graph.

A header that promises a huge image costs nothing to send, so the size is read first. TensorFlow's
decoders also leave the EXIF rotation of photos alone; the mark is read here.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

JPEG, BMP, GIF, PNG, WEBP, UNKNOWN = range(6)

_HEADER_BYTES = 64
_JPEG_START = b"\xff\xd8\xff"
_EXIF_WINDOW = 1 << 16  # the mark stands in the first segment of a JPEG, at most 64 KiB long


def image_kind(data: Any) -> Any:
    """Tells the format by the first bytes.

    Args:
        data: scalar string, an encoded image.

    Returns:
        int32 scalar: `JPEG`, `PNG`, `GIF`, `BMP`, `WEBP` or `UNKNOWN`.
    """

    def starts(magic: bytes, at: int = 0):
        return tf.strings.substr(_padded(data), at, len(magic)) == magic

    tests = [
        (is_jpeg(data), JPEG),
        (starts(b"\x89PNG\r\n\x1a\n"), PNG),
        (starts(b"GIF8"), GIF),
        (starts(b"BM"), BMP),
        (starts(b"RIFF") & starts(b"WEBP", 8), WEBP),
    ]
    kind = tf.constant(UNKNOWN)
    for test, value in tests:
        kind = tf.where(test, value, kind)
    return kind


def is_jpeg(data: Any) -> Any:
    """Tells a JPEG by its first bytes.

    Args:
        data: scalar string, an encoded image.

    Returns:
        bool scalar.
    """
    return tf.strings.substr(data, 0, len(_JPEG_START)) == _JPEG_START


def image_size(data: Any, kind: Any) -> tuple[Any, Any]:
    """Reads the size that the header promises.

    Args:
        data: scalar string, an encoded image.
        kind: its format, from `image_kind`; a constant `JPEG` leaves out what others need.

    Returns:
        (height, width) in pixels, int64 scalars; (0, 0) for an unknown format and for an animated
        WebP.

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

    def bmp():
        height = _little_endian(head[22:26])  # negative where the top row comes first
        height = tf.where(height >= 1 << 31, (1 << 32) - height, height)
        return height, _little_endian(head[18:22])

    def unknown():
        return tf.constant(0, tf.int64), tf.constant(0, tf.int64)

    branches = {JPEG: jpeg, PNG: png, GIF: gif, BMP: bmp, WEBP: lambda: _webp_size(head)}
    return tf.switch_case(kind, branches, default=unknown)


def _webp_size(head: Any) -> tuple[Any, Any]:
    """Height and width of the three kinds of WebP: lossy, lossless, extended; 0 if animated."""
    bits = _little_endian(head[21:25])
    lossy = _little_endian(head[28:30]) % (1 << 14), _little_endian(head[26:28]) % (1 << 14)
    lossless = bits // (1 << 14) % (1 << 14) + 1, bits % (1 << 14) + 1
    extended = _little_endian(head[27:30]) + 1, _little_endian(head[24:27]) + 1
    is_lossless, is_extended = head[15] == ord("L"), head[15] == ord("X")
    # TensorFlow 2.21 cannot make RGB of an animation, and its other ways of reading one corrupt
    # the memory.
    is_animated = is_extended & (head[20] // 2 % 2 == 1)
    return tuple(
        tf.where(is_extended, extended[i], tf.where(is_lossless, lossless[i], lossy[i]))
        * tf.cast(~is_animated, tf.int64)
        for i in range(2)
    )


def jpeg_orientation(data: Any) -> Any:
    """Reads the EXIF rotation mark of a JPEG.

    Args:
        data: scalar string, an encoded JPEG.

    Returns:
        int64 scalar, 1 to 8; 1, upright, where there is no mark or a senseless one.

    Reference: Exif 2.3, tag 0x0112 (Orientation), of the TIFF header's first directory.
    """
    mark = b"Exif\0\0"
    head = tf.strings.substr(data, 0, _EXIF_WINDOW)
    return tf.cond(
        tf.size(tf.strings.split(head, mark, maxsplit=1)) > 1,
        lambda: _read_orientation(head, mark),
        lambda: tf.constant(1, tf.int64),
    )


def _read_orientation(head: Any, mark: bytes) -> Any:
    """Reads the rotation from the directory behind the first mark in the head of a file."""
    start = tf.strings.length(tf.strings.split(head, mark, maxsplit=1)[0]) + len(mark)
    start = tf.cast(start, tf.int64)
    window = tf.io.decode_raw(head, tf.uint8)
    values = tf.cast(tf.pad(window, [[0, 16]]), tf.int64)
    last = tf.size(window, tf.int64)  # from here on zeros, which are no tag

    def byte_at(position):
        return tf.gather(values, tf.clip_by_value(position, 0, last))

    little = byte_at(start) == ord("I")

    def number(position, size):
        digits = [byte_at(position + i) for i in range(size)]
        low_first = sum(digit * 256**i for i, digit in enumerate(digits))
        high_first = sum(digit * 256**i for i, digit in enumerate(reversed(digits)))
        return tf.where(little, low_first, high_first)

    directory = start + number(start + 4, 4)
    count = tf.minimum(number(directory, 2), 512)
    entries = directory + 2 + 12 * tf.range(count, dtype=tf.int64)
    marks = tf.boolean_mask(entries, number(entries, 2) == 0x0112)
    orientation = number(tf.concat([marks, [last]], 0)[0] + 8, 2)
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


def _padded(data: Any) -> Any:
    """The first bytes, followed by zeros so that any of them can be read."""
    return tf.strings.substr(data, 0, _HEADER_BYTES) + b"\0" * _HEADER_BYTES


def _little_endian(digits: Any) -> Any:
    places = tf.constant([256**i for i in range(digits.shape[0])], tf.int64)
    return tf.reduce_sum(digits * places)


def _big_endian(digits: Any) -> Any:
    return _little_endian(digits[::-1])
