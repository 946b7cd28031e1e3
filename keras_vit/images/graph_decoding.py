"""Encoded images become pixels inside a TensorFlow graph, upright and within limits."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_vit.images import bmp, gif, header, webp
from keras_vit.images.containers import JPEG_SCAN, MAX_BYTES, MAX_PIXELS, MAX_SCANNED_PIXELS


def decode_image(data: Any, channels: int = 3) -> Any:
    """Decodes one image, upright.

    Args:
        data: scalar string: a JPEG, PNG, GIF, BMP or WebP file; of an animation, its first frame.
        channels: 3 for RGB, or 1 for grey.

    Returns:
        uint8 (height, width, channels).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for whatever
            `pillow_decoding.decode_image` refuses.
    """
    return _in_channels(_decode_rgb(data), channels)


# Traced once in a process, and called by every graph that reads images.
_once = functools.partial(
    tf.function, input_signature=[tf.TensorSpec([], tf.string)], autograph=False
)
# Nor put into its place there, so that a graph of JPEGs does not make room for the other formats.
_apart = functools.partial(_once, experimental_attributes={"_noinline": True})


@_once()
def decode_eighth(data: Any) -> Any:
    """Decodes one image in RGB as `decode_image` does, a JPEG at an eighth of its size."""
    return _decode(data, lambda data: tf.io.decode_jpeg(data, channels=3, ratio=8))


@_once()
def _decode_rgb(data: Any) -> Any:
    return _decode(data, _decode_jpeg)


@_once()
def _read_jpeg(data: Any) -> tuple[Any, Any, Any]:
    """Returns height, width and whether it stands upright, or refuses to have it decoded."""
    data = _check_size(data, tf.constant(header.JPEG))
    height, width = header.image_size(data, tf.constant(header.JPEG))
    return height, width, header.exif_orientation(header.jpeg_exif(data)) == 1


def _decode(data: Any, decode_jpeg: Callable[[Any], Any]) -> Any:
    kind = header.image_kind(data)
    data = _check_size(data, kind)
    pixels, exif = tf.switch_case(
        kind,
        {
            header.JPEG: lambda: (decode_jpeg(data), header.jpeg_exif(data)),
            header.BMP: lambda: (_decode_bmp(data), tf.constant(b"")),
            header.GIF: lambda: (_decode_gif(data), tf.constant(b"")),
            header.PNG: lambda: _decode_png(data),
        },
        default=lambda: _decode_webp(data),
    )
    pixels = tf.ensure_shape(pixels, [None, None, 3])
    return upright(pixels, header.exif_orientation(exif))


def decode_window(
    data: Any,
    window: Callable[[Any, Any], Any],
    channels: int = 3,
    min_size: tuple[int, int] | None = None,
) -> Any:
    """Decodes a part of one image, upright; of a JPEG little more than that part.

    A JPEG with a rotation mark, and any other format, is decoded whole and then cut.

    Args:
        data: scalar string: a JPEG, PNG, GIF, BMP or WebP file; of an animation, its first frame.
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
        return _decode_jpeg_window(data, choose(height, width), min_size)

    def part_of_whole():
        pixels = _decode_rgb(data)
        top, left, height, width = tf.unstack(choose(*tf.unstack(tf.shape(pixels)[:2])))
        return tf.slice(pixels, [top, left, 0], [height, width, 3])

    nothing = tf.constant(0, tf.int64), tf.constant(0, tf.int64), tf.constant(False)
    height, width, is_plain = tf.cond(
        header.is_jpeg(data), lambda: _read_jpeg(data), lambda: nothing
    )
    pixels = tf.ensure_shape(tf.cond(is_plain, part_of_jpeg, part_of_whole), [None, None, 3])
    return _in_channels(pixels, channels)


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


def _check_size(data: Any, kind: Any) -> Any:
    """Returns the data, to be used from here on, if it may be decoded."""
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.strings.length(data) <= MAX_BYTES, ["more bytes than allowed"])]
    ):
        height, width = header.image_size(data, kind)
    sensible = (height > 0) & (width > 0) & (height <= MAX_PIXELS) & (width <= MAX_PIXELS)
    pixels = tf.where(sensible, height * width, MAX_PIXELS + 1)
    checks = [tf.debugging.Assert(pixels <= MAX_PIXELS, ["size", height, width])]
    scans = tf.cond(
        kind == header.JPEG,
        lambda: tf.size(tf.strings.split(data, JPEG_SCAN), tf.int64) - 1,
        lambda: tf.constant(0, tf.int64),
    )
    checks.append(tf.debugging.Assert(scans * pixels <= MAX_SCANNED_PIXELS, ["scans", scans]))
    with tf.control_dependencies(checks):
        return tf.identity(data)


def _in_channels(pixels: Any, channels: int) -> Any:
    if channels == 3:
        return pixels
    weights = tf.constant([19595, 38470, 7471])  # ITU-R BT.601 in 65536ths, as Pillow's
    levels = tf.reduce_sum(tf.cast(pixels, tf.int32) * weights, axis=-1, keepdims=True)
    return tf.cast((levels + 2**15) // 2**16, tf.uint8)


def _decode_jpeg(data: Any) -> Any:
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")


@_apart()
def _decode_bmp(data: Any) -> Any:
    return bmp.decode(data)


@_apart()
def _decode_gif(data: Any) -> Any:
    data, screen, corner = gif.first_frame(data, MAX_PIXELS)
    return _place(tf.io.decode_gif(data)[0], screen, corner)


@_apart()
def _decode_png(data: Any) -> tuple[Any, Any]:
    exif = header.png_exif(data)  # refuses parts that promise more than there is
    with tf.control_dependencies([exif]):
        return tf.io.decode_png(data, channels=3), exif


@_apart()
def _decode_webp(data: Any) -> tuple[Any, Any]:
    flags = tf.io.decode_raw(tf.strings.substr(data + b"\0" * 21, 20, 1), tf.uint8)[0]

    def first_frame():
        still, screen, corner = webp.first_frame(data)
        return _place(tf.io.decode_webp(still)[0, ..., :3], screen, corner)

    pixels = tf.cond(
        header.is_extended_webp(data) & (flags // 2 % 2 == 1),
        first_frame,
        lambda: tf.io.decode_webp(data)[0, ..., :3],
    )
    return pixels, header.webp_exif(data)


def _place(pixels: Any, screen: Any, corner: Any) -> Any:
    """Puts a frame on a black screen."""
    rest = screen - corner - tf.shape(pixels)[:2]
    sides = tf.concat([tf.stack([corner, rest], 1), tf.zeros([1, 2], tf.int32)], 0)
    return tf.pad(pixels, sides)


def upright(pixels: Any, orientation: Any) -> Any:
    """Turns and mirrors an image as its EXIF mark, 1 to 8, says; with 5 to 8 its sides change."""

    def where(orientations, change):
        nonlocal pixels
        image, wanted = pixels, tf.reduce_any(orientation == tf.constant(orientations, tf.int64))
        pixels = tf.cond(wanted, lambda: change(image), lambda: image)

    where([5, 6, 7, 8], lambda image: tf.transpose(image, [1, 0, 2]))
    where([2, 3, 6, 7], lambda image: tf.reverse(image, [1]))
    where([3, 4, 7, 8], lambda image: tf.reverse(image, [0]))
    return pixels
