"""The endless order in which training sees the images, for any worker and from any step.

Nothing is decoded here: references flow, and a place in the stream tells each of them apart.
"""

import numpy as np
import tensorflow as tf

from keras_vit.data.dataset import Split


def training_stream(
    split: Split,
    seed: int,
    *,
    batch_size: int,
    repeats: int = 1,
    start_step: int = 0,
    num_shards: int = 1,
    shard_index: int = 0,
    one_pass: bool = False,
) -> tf.data.Dataset:
    """Returns what one worker trains on, in the order of its batches.

    The place of an image counts all images of all workers from the first step on. Row `j` of the
    global batch of step `s` has the place `s * batch_size + row_order(batch_size, repeats)[j]`.

    Arguments are those of `training_batches`; `repeats` places in a row show the same image. With
    `one_pass` it ends with a pass over the images: each time it is iterated another one, drawn by
    the seed, is read, and `start_step` is 0.

    Returns:
        Endless pairs of place, () int64, and reference, a dictionary as of `Split.references`;
        or those of the full batches of a pass.
    """
    if not one_pass:
        return _stream_from(
            split, seed, start_step * batch_size, batch_size, repeats, num_shards, shard_index
        )
    images = split.num_examples * repeats
    rows = images // batch_size * batch_size // num_shards
    drawn = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
    return drawn.flat_map(
        lambda number: _stream_from(
            split, seed, number % 2**31 * images, batch_size, repeats, num_shards, shard_index
        ).take(rows)
    )


def _stream_from(
    split: Split,
    seed: int,
    first: int | tf.Tensor,
    batch_size: int,
    repeats: int,
    num_shards: int,
    shard_index: int,
) -> tf.data.Dataset:
    """Returns the endless stream of a worker from the batch that begins at the place `first`."""
    rows = batch_size // num_shards
    stream = shuffled_stream(split, seed, first // repeats)
    if repeats == 1:
        stream = stream.enumerate(first)
        if num_shards == 1:
            return stream
        return stream.filter(lambda place, _: place % batch_size // rows == shard_index)
    stream = stream.flat_map(lambda example: tf.data.Dataset.from_tensors(example).repeat(repeats))
    stream = stream.skip(first % repeats).enumerate(first)
    order = row_order(batch_size, repeats)[shard_index * rows : (shard_index + 1) * rows]

    def rows_of_this_worker(*batch):
        return tf.nest.map_structure(lambda values: tf.gather(values, order), batch)

    return stream.batch(batch_size, drop_remainder=True).map(rows_of_this_worker).unbatch()


def row_order(batch_size: int, repeats: int) -> np.ndarray:
    """Spreads the copies of an image over a batch: first one of each image, then the next of each.

    So a worker seldom has two copies, and neighbours, which MixUp and CutMix mix, differ.

    Returns:
        int64 `(batch_size,)`: the place that each row shows, counted from the batch's first.
    """
    places = np.arange(batch_size)
    return places[np.argsort(places % repeats, kind="stable")]


def shuffled_stream(split: Split, seed: int, start: int | tf.Tensor = 0) -> tf.data.Dataset:
    """Repeats the references of a split for ever, each pass shuffled by the seed and its number.

    As many as `start` says are skipped, whole passes without a look at them. The rest of a pass is
    shuffled from its start, so that what follows is what would have followed.
    """
    references = split.references()
    start = tf.cast(start, tf.int64)
    first_pass, skipped = start // split.num_examples, start % split.num_examples

    def one_pass(number):
        tf.random.set_seed(1)  # of this function's graph: the program's global seed has no say
        mixed = tf.random.stateless_uniform(
            [], [tf.constant(seed, tf.int64), number], minval=None, maxval=None, dtype=tf.int64
        )
        shuffled = references.shuffle(
            split.shuffle_buffer, seed=mixed, reshuffle_each_iteration=False
        )
        return shuffled.skip(tf.where(number == first_pass, skipped, 0))

    return tf.data.Dataset.counter(first_pass, dtype=tf.int64).flat_map(one_pass)
