"""BMP inside a TensorFlow graph, whose own decoder knows few kinds and looks up no palette.

Pixels of 1, 4 and 8 bits are looked up, colours of 16, 24 and 32 bits are cut out by masks.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_vit.images.containers import BMP_HEADERS, OS2_HEADER

_RAW, _MASKS = 0, 3
# Bits, and the masks of red, green, blue and alpha, that Pillow takes; the first of each are usual.
_LAYOUTS = (
    (16, 0x7C00, 0x3E0, 0x1F, 0),
    (24, 0xFF0000, 0xFF00, 0xFF, 0),
    (32, 0xFF0000, 0xFF00, 0xFF, 0),
    (16, 0xF800, 0x7E0, 0x1F, 0),
    (32, 0xFF000000, 0xFF0000, 0xFF00, 0),
    (32, 0xFF000000, 0xFF00, 0xFF, 0),
    (32, 0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    (32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    (32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    (32, 0xFF000000, 0xFF00, 0xFF, 0xFF0000),
)


class _Header(NamedTuple):
    """What stands before the pixels; int64 scalars but for the last."""

    height: Any
    width: Any
    start: Any  # of the pixels
    bits: Any  # of a pixel
    packing: Any
    palette: Any  # its first byte
    entry: Any  # bytes of a colour in it
    colors: Any
    masks: Any  # of red, green, blue and alpha, int64 (4,)
    top_first: Any  # whether the rows go down
    is_known: Any  # whether a header of this length is


def _read_header(data: Any) -> _Header:
    count = 17  # words from the third byte on, up to the last mask
    head = tf.strings.substr(data + b"\0" * 4 * (count + 1), 2, 4 * count)
    words = tf.bitcast(tf.io.decode_raw(head, tf.int32), tf.uint32)
    words = tf.unstack(tf.cast(words, tf.int64), count)
    _, _, start, length, word, next_word, depth, packing, _, _, _, colors, _, *masks = words
    old = length == OS2_HEADER
    half = 1 << 16
    bits = tf.where(old, next_word, depth) // half
    colors = tf.where(old | (colors == 0), 2 ** tf.minimum(bits, 8), colors)
    height = tf.where(old, word // half, next_word)
    top_first = ~old & (height >= 0xFF000000)  # a negative height
    has_alpha = tf.cast(length >= 56, tf.int64)
    return _Header(
        height=tf.where(top_first, 2**32 - height, height),
        width=tf.where(old, word % half, word),
        start=start,
        bits=bits,
        packing=packing * tf.cast(~old, tf.int64),
        palette=14 + length,
        entry=4 - tf.cast(old, tf.int64),
        colors=colors,
        masks=tf.stack([*masks[:3], has_alpha * masks[3]]),
        top_first=top_first,
        is_known=tf.reduce_any(length == tf.constant(BMP_HEADERS, tf.int64)),
    )


def size(data: Any) -> tuple[Any, Any]:
    """Reads (height, width) in pixels, int64 scalars."""
    header = _read_header(data)
    return header.height, header.width


def decode(data: Any) -> Any:
    """Decodes a BMP of sensible size that is not packed.

    Returns:
        uint8 (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for a packed or broken one.
    """
    header = _read_header(data)
    line = header.width * header.bits
    stride = (line + 31) // 32 * 4
    used = stride * (header.height - 1) + (line + 7) // 8
    whole = header.start + used <= tf.cast(tf.strings.length(data), tf.int64)
    whole &= header.is_known & (header.start >= header.palette)
    with tf.control_dependencies([tf.debugging.Assert(whole, ["not whole, or of no known kind"])]):
        values = tf.io.decode_raw(tf.strings.substr(data, header.start, used), tf.uint8)
    values = tf.pad(values, [[0, stride * header.height - used]])
    rows = tf.reshape(values, [header.height, stride])
    rows = tf.cond(header.top_first, lambda: rows, lambda: tf.reverse(rows, [0]))
    return tf.cond(
        header.bits <= 8,
        lambda: _look_up(data, rows, header),
        lambda: _cut_out(rows, header),
    )


def _look_up(data: Any, rows: Any, header: _Header) -> Any:
    """Takes the colours of 1, 4 or 8 bits from the palette."""
    known_depth = tf.reduce_any(header.bits == tf.constant([1, 4, 8], tf.int64))
    end = header.palette + header.entry * header.colors
    fits = (header.colors <= 256) & (end <= header.start) & (header.packing == _RAW)
    with tf.control_dependencies([tf.debugging.Assert(known_depth & fits, ["packed"])]):
        table = tf.strings.substr(data, header.palette, header.entry * header.colors)
    table = tf.reshape(tf.io.decode_raw(table, tf.uint8), [header.colors, header.entry])[:, 2::-1]
    ramp = tf.cast(tf.tile(tf.range(256)[:, None], [1, 3]), tf.uint8)
    # Pillow takes such a palette for grey values, and then a byte for a pixel.
    two = header.colors == 2
    is_grey = tf.reduce_all(table == tf.where(two, 255 * ramp, ramp)[: header.colors])
    odd = is_grey & (header.bits != tf.where(two, tf.constant(1, tf.int64), 8))
    with tf.control_dependencies([tf.debugging.Assert(~odd, ["an odd palette"])]):
        table = tf.pad(table, [[0, 256 - header.colors], [0, 0]])
    shifts = tf.range(8 - header.bits, -1, -header.bits)
    pixels = tf.bitwise.right_shift(rows[..., None], tf.cast(shifts, tf.uint8))
    pixels = tf.reshape(pixels, [header.height, -1])[:, : header.width]
    mask = tf.cast(2**header.bits - 1, tf.uint8)
    return tf.gather(table, tf.cast(tf.bitwise.bitwise_and(pixels, mask), tf.int32))


def _cut_out(rows: Any, header: _Header) -> Any:
    """Cuts the colours out of numbers of 16, 24 or 32 bits."""
    layouts = tf.constant(_LAYOUTS, tf.int64)
    usual = tf.gather(layouts, tf.where(layouts[:3, 0] == header.bits)[:, 0])[:1]
    own = tf.concat([header.bits[None], header.masks], 0)[None]
    own = tf.where((header.bits == 32) & tf.reduce_all(header.masks == 0), usual, own)
    own *= tf.stack([1, 1, 1, 1, tf.cast(header.bits == 32, tf.int64)])
    layout = tf.where(header.packing == _RAW, usual, own)
    known = tf.reduce_any(tf.reduce_all(layouts == layout, 1)) & (
        (header.packing == _RAW) | (header.packing == _MASKS)
    )
    with tf.control_dependencies([tf.debugging.Assert(known, ["packed, or odd masks"])]):
        masks = tf.identity(layout[0, 1:4])
    size = header.bits // 8
    digits = tf.reshape(rows[:, : header.width * size], [header.height, header.width, size])

    def whole_bytes():
        places = tf.reduce_sum(tf.cast(masks[:, None] >= [0x100, 0x10000, 0x1000000], tf.int32), 1)
        return tf.gather(digits, places, axis=2)

    def parts_of_bytes():
        words = tf.cast(digits, tf.int32)
        words = words[..., :1] + 256 * words[..., 1:]
        small = tf.cast(masks, tf.int32)
        lowest = tf.bitwise.bitwise_and(small, -small)
        channels = tf.bitwise.bitwise_and(words, small) // lowest
        return tf.cast(channels * 255 // (small // lowest), tf.uint8)

    return tf.cond(header.bits > 16, whole_bytes, parts_of_bytes)
