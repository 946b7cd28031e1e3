"""Random changes to training images; the one module that chooses an augmentation library.

What moves an image are layers of `keras.layers`; what changes its colours stands in `appearance`,
what puts something else into it in `mixing`, and there is said why. Each image gets seeds of its
own, made of the run's seed and the image's place in the stream, so the result does not depend on
threads, on batch size, on the number of workers or on where a run was resumed.
"""

import keras
import tensorflow as tf

from keras_vit.data.augmentation import Augmentation
from keras_vit.layers.seeds import DrawnSeed

CROP_ASPECT_RATIOS = (3 / 4, 4 / 3)


class Seeds:
    """The random seeds of one image: for every purpose a stream of its own.

    Args:
        seed: of the run, 0 to 2**31 - 1.
        place: () int64, where in the stream of training the image stands.
    """

    PURPOSES = (
        "flip", "three_augment", "rand_augment", "color_jitter", "erasing", "mixing", "targets",
    )  # fmt: skip
    _NUMBERS = 16  # more than the random numbers that the layers need for one image

    def __init__(self, seed: int, place: tf.Tensor):
        self._seed, self._place = seed, place

    @property
    def crop(self) -> tf.Tensor:
        """Of the crop, `(2,)` int64; those of the layers follow it."""
        return tf.stack([tf.constant(self._seed, tf.int64), self._place * self._NUMBERS])

    def of(self, purpose: str) -> tf.Tensor:
        """Returns the seed of one of `PURPOSES`, `(2,)` int64; 16 that follow it are free."""
        offset = tf.constant([(1 + self.PURPOSES.index(purpose)) << 32, 0], tf.int64)
        return self.crop + offset


def random_layers(augmentation: Augmentation) -> list[keras.layers.Layer]:
    """Returns the Keras layers that an augmentation needs, in the order they act.

    Crop and flip are not layers, see `random_window` and `random_flip`.
    """
    layers = keras.layers
    # In float32 whatever the program's dtype policy is.
    black = {"fill_mode": "constant", "fill_value": 0.0, "dtype": "float32"}
    shift, turn, zoom = augmentation.translation, augmentation.rotation / 360, augmentation.zoom
    chosen = []
    if turn:
        chosen.append(layers.RandomRotation(turn, **black))
    if zoom:
        chosen.append(layers.RandomZoom(zoom, zoom, **black))
    if shift:
        chosen.append(layers.RandomTranslation(shift, shift, **black))
    return chosen


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


def transform(image: tf.Tensor, layers: list[keras.layers.Layer], seed: tf.Tensor) -> tf.Tensor:
    """Applies `random_layers` to one image; each draws from the numbers that follow the seed."""
    generator = DrawnSeed(seed)
    for layer in layers:
        drawn = layer.get_random_transformation(image, training=True, seed=generator)
        image = layer.transform_images(image, drawn, training=True)
    return image
