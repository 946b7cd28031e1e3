"""Random changes to training images.

What moves an image stands here, what changes its colours in `appearance`, what puts something else
into it in `mixing`, and there is said why no library does it. Each image gets seeds of its own,
made of the run's seed and the image's place in the stream, so the result does not depend on
threads, on batch size, on the number of workers or on where a run was resumed.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.draws import first_uniform

CROP_ASPECT_RATIOS = (3 / 4, 4 / 3)


class Seeds:
    """The random seeds of an image, or of each of a batch: for every purpose a stream of its own.

    Args:
        seed: of the run, 0 to 2**31 - 1.
        place: () or `(batch,)` int64, where in the stream of training the image stands.
    """

    PURPOSES = (
        "flip", "three_augment", "rand_augment", "color_jitter", "erasing", "mixing", "targets",
    )  # fmt: skip
    _NUMBERS = 16  # more than the random numbers that the layers need for one image

    def __init__(self, seed: int, place: tf.Tensor):
        self._seed, self._place = seed, place

    @property
    def crop(self) -> tf.Tensor:
        """Of the crop, `(2,)` or `(batch, 2)` int64."""
        seed = tf.fill(tf.shape(self._place), tf.constant(self._seed, tf.int64))
        return tf.stack([seed, self._place * self._NUMBERS], -1)

    @property
    def moves(self) -> tf.Tensor:
        """Of `transform`: the seeds that follow that of the crop."""
        return self.crop + tf.constant([0, 1], tf.int64)

    def of(self, purpose: str) -> tf.Tensor:
        """Returns the seeds of one of `PURPOSES`, as `crop`; 16 that follow each are free."""
        offset = tf.constant([(1 + self.PURPOSES.index(purpose)) << 32, 0], tf.int64)
        return self.crop + offset


def random_window(
    height: tf.Tensor, width: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor
) -> tf.Tensor:
    """Chooses the part of an image that is cut out, before the image is decoded.

    Returns:
        int32 `(4,)`: top, left, height and width of the part.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.stack([height, width, 1]),
        tf.zeros([1, 0, 4], tf.float32),
        seed,
        area_range=(augmentation.crop_min_area, 1.0),
        aspect_ratio_range=CROP_ASPECT_RATIOS,
        use_image_if_no_bounding_boxes=True,
        min_object_covered=0.0,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def random_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors half of the images.

    `keras.layers.RandomFlip` mirrors every image and then takes one of the two, which costs three
    times as much.
    """
    chosen = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(chosen, lambda: tf.reverse(image, [1]), lambda: image)


def random_flips(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """Does to each image of a batch what `random_flip` does; seeds `(batch, 2)`."""
    chosen = first_uniform(seeds) < 0.5
    return tf.where(chosen[:, None, None, None], tf.reverse(images, [2]), images)


def change_appearance(image: tf.Tensor, augmentation: Augmentation, seeds: Seeds) -> tf.Tensor:
    """Applies 3-Augment, RandAugment and colour jitter, those that are on.

    The image is float32 `(height, width, channels)`, values 0 to 255, sizes known.
    """
    from keras_vit.data import appearance

    if augmentation.three_augment:
        image = appearance.three_augment(image, seeds.of("three_augment"))
    if augmentation.rand_augment_ops:
        image = appearance.rand_augment(
            image,
            seeds.of("rand_augment"),
            num_ops=augmentation.rand_augment_ops,
            magnitude=augmentation.rand_augment_magnitude,
            magnitude_std=augmentation.rand_augment_magnitude_std,
            probability=augmentation.rand_augment_probability,
        )
    if augmentation.color_jitter:
        image = appearance.color_jitter(image, augmentation.color_jitter, seeds.of("color_jitter"))
    return image


def transform(images: tf.Tensor, augmentation: Augmentation, seeds: tf.Tensor) -> tf.Tensor:
    """Turns, zooms and shifts images, each by numbers of its own, in this order.

    `keras.layers` has such layers, which draw for a whole batch from one seed, so that what an
    image gets depends on where in a batch it is. Given one image with its seed at a time they do
    this, to the bit, at fifty small operations an image.

    Args:
        images: float32 `(batch, height, width, channels)`, all known.
        augmentation: how much.
        seeds: int64 `(batch, 2)`; the numbers drawn are those of the seeds that follow.

    Returns:
        Images of the same shape; what comes in from outside is black.
    """
    shift, turn, zoom = augmentation.translation, augmentation.rotation, augmentation.zoom
    ranges = [(-turn, turn)] * bool(turn)
    ranges += [(1 - zoom, 1 + zoom)] * 2 * bool(zoom) + [(-shift, shift)] * 2 * bool(shift)
    if not ranges:
        return images
    drawn = iter(_between(seeds, ranges))
    height, width = images.shape[1:3]
    x, y = (width - 1) / 2, (height - 1) / 2
    if turn:
        # One by one: of many at once the last digit depends on how many there are.
        angles = tf.unstack(next(drawn) * (math.pi / 180))
        cosine, sine = (tf.stack(list(map(part, angles))) for part in (tf.cos, tf.sin))
        across = cosine, -sine, x - x * cosine - y * -sine
        images = _move(images, *across, sine, cosine, y - x * sine - y * cosine)
    if zoom:
        down, across = next(drawn), next(drawn)
        images = _move(images, across, 0, x * (1 - across), 0, down, y * (1 - down))
    if shift:
        down, across = next(drawn) * height, next(drawn) * width
        images = _move(images, 1, 0, -across, 0, 1, -down)
    return images


def _between(seeds: tf.Tensor, ranges: Sequence[tuple[float, float]]) -> list[tf.Tensor]:
    """Draws `(batch,)` numbers from each range, by the seeds and those that follow them."""
    following = np.stack([np.zeros(len(ranges), np.int64), np.arange(len(ranges))], -1)
    seeds = (seeds + following[:, None]) % (2**31 - 2)  # by the rule of Keras
    rows = tf.unstack(first_uniform(seeds))
    ends = [map(np.float32, pair) for pair in ranges]
    return [row * (high - low) + low for row, (low, high) in zip(rows, ends, strict=True)]


def _move(images: tf.Tensor, *matrix: tf.Tensor | float) -> tf.Tensor:
    """Takes what comes to `(x, y)` from `(a x + b y + c, d x + e y + f)`, bilinear, in pixels."""
    zeros = tf.zeros(tf.shape(images)[:1])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([zeros + value for value in (*matrix, 0, 0)], -1),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
