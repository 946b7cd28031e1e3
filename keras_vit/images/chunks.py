"""The chunks of a PNG or WebP, walked inside a TensorFlow graph.

TensorFlow's decoder of PNG takes the memory that a chunk promises, whether the file holds it or
not, so the promises are added up first.
"""

from typing import Any

import tensorflow as tf

from keras_vit.images.containers import MAX_PARTS, PNG_START


def find_in_png(data: Any, names: tuple[bytes, ...]) -> Any:
    """Finds chunks of a PNG.

    Args:
        data: scalar string, a PNG.
        names: of the chunks.

    Returns:
        int64 (names, 2): where the first one of each name begins and its length; zeros where there
        is none.

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for a file cut short or of too many
            parts.
    """
    start = tf.constant(len(PNG_START), tf.int64)
    stop = tf.strings.length(data)
    found = _walk(data, start, stop, (*names, b"IEND"), png=True)
    with tf.control_dependencies([tf.debugging.Assert(found[-1, 0] > 0, ["cut short"])]):
        return tf.identity(found[:-1])


def find_in_webp(data: Any, names: tuple[bytes, ...]) -> Any:
    """Finds chunks of a WebP, as `find_in_png` does."""
    promised = tf.io.decode_raw(tf.strings.substr(data, 4, 4), tf.int32)[0]
    promised = tf.cast(tf.bitcast(promised, tf.uint32), tf.int64)
    stop = tf.minimum(tf.cast(tf.strings.length(data), tf.int64), 8 + promised)
    return _walk(data, tf.constant(12, tf.int64), stop, names, png=False)


def _walk(data: Any, start: Any, stop: Any, names: tuple[bytes, ...], *, png: bool) -> Any:
    order = "big" if png else "little"
    wanted = tf.constant([int.from_bytes(name, order, signed=True) for name in names])
    stop = tf.cast(stop, tf.int64)

    def step(start, count, found):
        header = tf.strings.substr(data, start, tf.constant(8, tf.int64))
        first, second = tf.unstack(
            tf.ensure_shape(tf.io.decode_raw(header, tf.int32, little_endian=not png), [2])
        )
        length, name = (first, second) if png else (second, first)
        length = tf.cast(tf.bitcast(length, tf.uint32), tf.int64)
        is_new = (wanted == name) & (found[:, 0] == 0)
        found = tf.where(is_new[:, None], tf.stack([start + 8, length]), found)
        end = start + 8 + length
        after = end + (4 if png else length % 2)
        whole = (after if png else end) <= stop
        with tf.control_dependencies([tf.debugging.Assert(whole, ["cut short"])]):
            return tf.identity(after), count + 1, found

    def goes_on(start, count, found):
        more = (start + 8 <= stop) & (count <= MAX_PARTS)
        return more & (found[-1, 0] == 0) if png else more

    state = start, tf.constant(0), tf.zeros([len(names), 2], tf.int64)
    _, count, found = tf.while_loop(goes_on, step, state)
    with tf.control_dependencies([tf.debugging.Assert(count <= MAX_PARTS, ["too many parts"])]):
        return tf.identity(found)
