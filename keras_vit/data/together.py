"""Random changes to a whole batch of small images, the bits of what is done to one at a time.

An operation on a small image costs more than what it does. On large ones it is the other way round,
and one at a time stays in the processor's cache.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from keras_vit.data import mixing
from keras_vit.data.augment import Seeds, change_appearance, random_flips, transform
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.targets import OneHot, Targets
from keras_vit.images.preprocessing import normalize
from keras_vit.images.spec import Preprocessing

# Of an image, up to which a batch together was faster, as measured at 32 to 128 pixels.
_MOST_BYTES, _MOST_BYTES_MOVED = 2**14, 2**16


def go_together(preprocessing: Preprocessing, targets: Targets, augmentation: Augmentation) -> bool:
    """Says whether `change_together` does what is asked for, and faster."""
    moved = augmentation.translation or augmentation.rotation or augmentation.zoom
    pixels = math.prod(preprocessing.size) * len(preprocessing.mean)
    is_small = 4 * pixels <= (_MOST_BYTES_MOVED if moved else _MOST_BYTES)
    return is_small and isinstance(targets, OneHot)


def change_together(
    preprocessing: Preprocessing, targets: OneHot, seed: int, augmentation: Augmentation
) -> Callable[..., tuple]:
    """Returns what makes batches of places and examples, their images 0 to 255, ready to train on.

    It gives images, labels and, to mix, the draws for `mixing.mix_pairs`.
    """

    def recolour(image, place):
        return change_appearance(image, augmentation, Seeds(seed, place))

    def erase(image, place):
        erasing = Seeds(seed, place).of("erasing")
        return mixing.random_erasing(image, augmentation.random_erasing, erasing)

    def change(places, examples):
        images, labels, seeds = examples["image"], examples["label"], Seeds(seed, places)
        if augmentation.horizontal_flip:
            images = random_flips(images, seeds.of("flip"))
        images = transform(images, augmentation, seeds.moves)
        if augmentation.recolours:
            images = _one_by_one(recolour, images, places)
        images = normalize_rows(images, preprocessing)
        if augmentation.random_erasing:
            images = _one_by_one(erase, images, places)
        images, labels = targets(images, labels, seeds.of("targets"))
        if not augmentation.mixes:
            return images, labels
        alphas = augmentation.mixup_alpha, augmentation.cutmix_alpha
        firsts = Seeds(seed, places[::2]).of("mixing")  # those of a pair count alone
        draws = _one_by_one(lambda pair: mixing.mix_draws(*alphas, pair), firsts)
        return images, labels, tf.repeat(draws, 2, axis=0)

    return change


def _one_by_one(function: Callable[..., tf.Tensor], *rows: tf.Tensor) -> tf.Tensor:
    """Applies what chooses among several ways for each image, and so takes one at a time."""
    return tf.map_fn(lambda each: function(*each), rows, fn_output_signature=tf.float32)


def normalize_rows(images: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Does what `normalize` does, to the bit, on rows of numbers instead of pixels of three.

    TensorFlow takes eight times as long to spread three numbers over an image as to spread a row.
    One image or a batch, `(..., height, width, channels)`, sizes known.
    """
    width = preprocessing.size[1]
    mean, std = preprocessing.mean * width, preprocessing.std * width
    rows = tf.reshape(images, [-1, len(mean)])
    rows = normalize(rows, preprocessing.replace(mean=mean, std=std))
    return tf.reshape(rows, [-1 if side is None else side for side in images.shape])
