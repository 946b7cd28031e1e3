"""From a split to batches: read, decode, resize, augment, normalise, batch.

Training and evaluation share decoding and normalising; training adds the shuffle and the random
changes. Every random number comes from the seed and a place in the stream, so the same seed gives
the same batches on any number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_vit.configs import Preprocessing
from keras_vit.data.augment import Augmentation, random_crop, random_layers, transform
from keras_vit.data.dataset import Split
from keras_vit.decoding import decode_image
from keras_vit.preprocessing import normalize, preprocess_input

if TYPE_CHECKING:
    import tensorflow as tf

_SEEDS_AN_IMAGE = 16  # more than the random numbers that one image needs


def evaluation_batches(
    split: Split, preprocessing: Preprocessing, *, batch_size: int, num_classes: int
) -> tf.data.Dataset:
    """Makes one pass over a split, in its fixed order, as a model sees it.

    Args:
        split: what to read.
        preprocessing: of the model.
        batch_size: images a batch, at least 1; the last batch may be smaller.
        num_classes: width of the labels.

    Returns:
        Batches of images, float32 `(batch, height, width, channels)`, and one-hot labels, float32
        `(batch, num_classes)`.
    """
    import tensorflow as tf

    _check_batch_size(batch_size)
    _check_channels(preprocessing)
    channels = len(preprocessing.mean)

    def prepare(reference):
        example = split.read(reference)
        image = preprocess_input(decode_image(example["image"], channels), preprocessing)
        return image, tf.one_hot(example["label"], num_classes)

    examples = split.references().map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def training_batches(
    split: Split,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    num_classes: int,
    seed: int,
    augmentation: Augmentation | None = None,
) -> tf.data.Dataset:
    """Makes an endless stream of shuffled, augmented batches.

    Every pass over the images has an order of its own; a batch may hold the end of one pass and the
    start of the next, so that every image is seen equally often and every batch is full.

    Args:
        split: what to read.
        preprocessing: of the model.
        batch_size: images a batch, at least 1.
        num_classes: width of the labels.
        seed: of order and augmentation, 0 to 2**31 - 1.
        augmentation: random changes; None for none.

    Returns:
        Batches of images, float32 `(batch_size, height, width, channels)`, and one-hot labels,
        float32 `(batch_size, num_classes)`.
    """
    import tensorflow as tf

    _check_batch_size(batch_size)
    _check_channels(preprocessing)
    augmentation = augmentation or Augmentation()
    channels = len(preprocessing.mean)
    layers = random_layers(augmentation)
    resize_alone = preprocessing.replace(mean=(0.0,) * channels, std=(1 / 255,) * channels)
    if augmentation.crop_min_area < 1:
        resize_alone = resize_alone.replace(resize="squash")

    def prepare(place, reference):
        example = split.read(reference)
        seeds = tf.stack([tf.constant(seed, tf.int64), place * _SEEDS_AN_IMAGE])
        image = random_crop(decode_image(example["image"], channels), augmentation, seeds)
        image = preprocess_input(image, resize_alone)  # still 0 to 255
        image = transform(image, layers, seeds + tf.constant([0, 1], tf.int64))
        image = tf.ensure_shape(image, [*preprocessing.size, channels])
        return normalize(image, preprocessing), tf.one_hot(example["label"], num_classes)

    examples = shuffled_stream(split, seed).enumerate()
    examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def shuffled_stream(split: Split, seed: int) -> tf.data.Dataset:
    """Repeats the references of a split for ever, each pass shuffled by the seed and its number.

    Args:
        split: what to read.
        seed: 0 to 2**31 - 1.
    """
    import tensorflow as tf

    references = split.references()

    def one_pass(number):
        tf.random.set_seed(1)  # of this function's graph: the program's global seed has no say
        mixed = tf.random.stateless_uniform(
            [], [tf.constant(seed, tf.int64), number], minval=None, maxval=None, dtype=tf.int64
        )
        return references.shuffle(split.shuffle_buffer, seed=mixed, reshuffle_each_iteration=False)

    return tf.data.Dataset.counter(dtype=tf.int64).flat_map(one_pass)


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"Expected `batch_size` of at least 1. Received: {batch_size!r}.")


def _check_channels(preprocessing: Preprocessing) -> None:
    if len(preprocessing.mean) not in (1, 3):
        raise ValueError(
            "Expected a model for grey images (1 channel) or RGB (3). "
            f"Received: {len(preprocessing.mean)} channels."
        )
