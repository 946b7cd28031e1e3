"""The first frame of a GIF, cut out before it is decoded.

TensorFlow's decoder unpacks every frame even where only the first is wanted, so a small file with
many large frames would fill the memory.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, b"\x3b"
_MAX_BLOCKS = 1 << 16  # of up to 255 bytes


def first_frame(data: Any, max_pixels: int) -> Any:
    """Cuts a GIF after its first frame.

    Args:
        data: scalar string, a GIF.
        max_pixels: largest size of the frame, whatever the size of the screen.

    Returns:
        Scalar string, a GIF of one frame; of none where the file is broken.

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for a larger frame.

    Reference: GIF89a, sections 15 (data sub-blocks), 18 to 21 and 23 (extensions).
    """
    values = tf.cast(tf.pad(tf.io.decode_raw(data, tf.uint8), [[0, 16]]), tf.int32)
    length = tf.strings.length(data)

    def at(position):
        return values[tf.minimum(position, length)]  # zeros behind the end

    def palette(flags):
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def step(position, in_blocks, in_frame, _):
        size = at(position)
        ends = in_blocks & (size == 0)
        opens_frame, opens_extension = size == _FRAME, size == _EXTENSION
        past_header = tf.where(opens_frame, 11 + palette(at(position + 9)), 2)
        moved = position + tf.where(in_blocks, size + 1, past_header)
        done = tf.where(in_blocks, ends & in_frame, ~(opens_frame | opens_extension))
        in_frame = in_frame | (~in_blocks & opens_frame)
        return moved, tf.where(in_blocks, ~ends, True), in_frame, done | (moved > length)

    def header(position, in_blocks, in_frame, done):
        return ~done & (in_blocks | in_frame | (at(position) != _FRAME))

    start = (13 + palette(at(10)), tf.constant(False), tf.constant(False), tf.constant(False))
    frame, *state = tf.while_loop(header, step, start, maximum_iterations=_MAX_BLOCKS)
    width, height = (at(frame + i) + 256 * at(frame + i + 1) for i in (5, 7))
    fits = tf.cast(width, tf.int64) * tf.cast(height, tf.int64) <= max_pixels
    with tf.control_dependencies([tf.debugging.Assert(fits, ["frame", height, width])]):
        state = (frame, *state)
        end, *_ = tf.while_loop(
            lambda *loop: ~loop[-1], step, state, maximum_iterations=_MAX_BLOCKS
        )
        return tf.strings.substr(data, 0, tf.minimum(end, length)) + _TRAILER
