"""The first frame of a GIF, cut out inside a TensorFlow graph before it is decoded.

TensorFlow's decoder unpacks every frame even where only the first is wanted, so a small file with
many large frames would fill the memory.
"""

from typing import Any

import tensorflow as tf

from keras_vit.images.containers import MAX_PARTS, MAX_RUN

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, b"\x3b"
_CONTROL = b"\x21\xf9\x04"  # the extension that says which colour is transparent


def first_frame(data: Any, max_pixels: int) -> tuple[Any, Any, Any]:
    """Cuts a GIF after its first frame.

    Args:
        data: scalar string, a GIF.
        max_pixels: largest size of the screen that holds the frame.

    Returns:
        The GIF of one frame, scalar string; height and width of the screen, which is made larger
        where the frame reaches beyond it, int32 (2,); top and left of the frame on it, int32 (2,).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for a larger screen, and a file cut short
            or of too many parts.

    Reference: GIF89a, sections 15 (data sub-blocks), 18 to 21 and 23 (extensions).
    """
    length = tf.strings.length(data)
    values = tf.io.decode_raw(data + b"\0", tf.uint8)

    def at(places):
        """Returns bytes, zero behind the end."""
        return tf.cast(tf.gather(values, tf.minimum(places, length)), tf.int32)

    def palette(flags):
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def skip(position, parts):
        """Passes blocks up to the empty one, many of the same length in one turn."""

        def turn(position, parts):
            size = at(position)
            sizes = tf.cast(values[position : position + MAX_RUN * (size + 1) : size + 1], tf.int32)
            places = tf.range(tf.size(sizes))
            run = tf.reduce_min(tf.where(sizes == size, tf.size(sizes), places))
            return position + run * (size + 1), parts + 1

        def goes_on(position, parts):
            return (at(position) > 0) & (parts <= MAX_PARTS)

        position, parts = tf.while_loop(goes_on, turn, (position, parts))
        return position + 1, parts

    def pass_extension(position, control, parts):
        is_control = tf.strings.substr(data, position, len(_CONTROL)) == _CONTROL
        end, parts = skip(position + 2, parts + 1)
        return end, tf.where(is_control, position, control), parts

    start = 13 + palette(at(10))
    frame, control, parts = tf.while_loop(
        lambda position, _, parts: (at(position) == _EXTENSION) & (parts <= MAX_PARTS),
        pass_extension,
        (start, tf.constant(-1), tf.constant(0)),
    )
    end, parts = skip(frame + 11 + palette(at(frame + 9)), parts)
    whole = (at(frame) == _FRAME) & (end <= length) & (parts <= MAX_PARTS)
    digits = tf.reshape(at(tf.concat([[6, 7, 8, 9], frame + tf.range(1, 9)], 0)), [3, 2, 2])
    numbers = tf.reduce_sum(digits * [1, 256], -1)[:, ::-1]  # rows before columns
    screen, corner, size = tf.unstack(numbers)
    screen = tf.maximum(screen, corner + size)
    fits = tf.reduce_prod(tf.cast(screen, tf.int64)) <= max_pixels
    with tf.control_dependencies([tf.debugging.Assert(whole & fits, ["GIF", screen, parts])]):
        pieces = [
            tf.strings.substr(data, 0, start),
            tf.strings.substr(data, tf.maximum(control, 0), tf.where(control < 0, 0, 8)),
            # TensorFlow moves a frame by its corner without the screen that it stands on.
            b"\x2c" + b"\0" * 4,
            tf.strings.substr(data, frame + 5, end - frame - 5),
            _TRAILER,
        ]
    return tf.strings.join(pieces), screen, corner
