"""Random changes to a whole batch of small images, the bits of what is done to one at a time.

An operation on a small image costs more than what it does. On large ones it is the other way round,
and one at a time stays in the processor's cache.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from keras_vit.data import mixing
from keras_vit.data.augment import Seeds, random_flips, transform
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.targets import OneHot, Targets
from keras_vit.images.preprocessing import normalize
from keras_vit.images.spec import Preprocessing

_MOST_BYTES = 2**22  # of the images of a batch


def go_together(
    preprocessing: Preprocessing, batch_size: int, targets: Targets, augmentation: Augmentation
) -> bool:
    """Says whether `change_together` does all that is asked for, and faster.

    What changes colours, and erasing, choose among several ways for each image: one at a time.
    """
    pixels = math.prod(preprocessing.size) * len(preprocessing.mean)
    chosen = (
        augmentation.three_augment,
        augmentation.rand_augment_ops,
        augmentation.color_jitter,
        augmentation.random_erasing,
    )
    is_small = 4 * pixels * batch_size <= _MOST_BYTES
    return is_small and isinstance(targets, OneHot) and not any(chosen)


def change_together(
    preprocessing: Preprocessing, targets: OneHot, seed: int, augmentation: Augmentation
) -> Callable[..., tuple]:
    """Returns what makes batches of places and examples, their images 0 to 255, ready to train on.

    It gives images, labels and, to mix, the draws for `mixing.mix_pairs`.
    """

    def change(places, examples):
        images, labels, seeds = examples["image"], examples["label"], Seeds(seed, places)
        if augmentation.horizontal_flip:
            images = random_flips(images, seeds.of("flip"))
        images = normalize_rows(transform(images, augmentation, seeds.moves), preprocessing)
        images, labels = targets(images, labels, seeds.of("targets"))
        if not augmentation.mixes:
            return images, labels
        alphas = augmentation.mixup_alpha, augmentation.cutmix_alpha
        firsts = Seeds(seed, places[::2]).of("mixing")  # those of a pair count alone
        draws = tf.map_fn(
            lambda one: mixing.mix_draws(*alphas, one), firsts, fn_output_signature=tf.float32
        )
        return images, labels, tf.repeat(draws, 2, axis=0)

    return change


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
