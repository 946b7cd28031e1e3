"""Random changes to training images; the one module that chooses an augmentation library.

The layers are those of `keras.layers`. Each image gets a seed of its own, drawn from the run's seed
and the image's place in the stream, so the result does not depend on threads or on batch size.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    import tensorflow as tf

CROP_ASPECT_RATIOS = (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a training image is changed at random; the defaults change nothing.

    Attributes:
        crop_min_area: a crop takes at least this share of the image's area, in (0, 1], at an aspect
            ratio of 3:4 to 4:3, and is resized to the model's size; 1 for no crop ("Going Deeper
            with Convolutions", arXiv 1409.4842, section 6).
        horizontal_flip: whether half of the images are mirrored. Not for digits or letters.
        translation: largest shift in either direction, as a share of the side, in [0, 1).
        rotation: largest turn in either direction, in degrees, in [0, 180].
        zoom: largest change of size, as a share, in [0, 1).

    What comes into the picture from outside is black.
    """

    crop_min_area: float = 1.0
    horizontal_flip: bool = False
    translation: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0

    def __post_init__(self):
        if not 0 < self.crop_min_area <= 1:
            raise ValueError(
                f"Expected `crop_min_area` to lie in (0, 1]. Received: {self.crop_min_area!r}."
            )
        for field, limit in (("translation", 1), ("zoom", 1), ("rotation", 180.5)):
            value = getattr(self, field)
            if not 0 <= value < limit:
                raise ValueError(
                    f"Expected `{field}` to lie in [0, {limit:.0f}). Received: {value!r}."
                )


class _ImageSeed(keras.random.SeedGenerator):
    """Gives the layers one seed after the other, counted from a tensor instead of a variable."""

    def __init__(self, seed: tf.Tensor):
        self._next = seed  # the parent's variable is not made: tf.data would share it among threads

    def next(self, ordered=True):
        import tensorflow as tf

        seed = self._next
        self._next = seed + tf.constant([0, 1], seed.dtype)
        return seed


def random_layers(augmentation: Augmentation) -> list[keras.layers.Layer]:
    """Returns the Keras layers that an augmentation needs, in the order they act.

    Args:
        augmentation: what to do; the crop is not a layer, see `random_crop`.
    """
    layers = keras.layers
    black = {"fill_mode": "constant", "fill_value": 0.0}
    shift, turn, zoom = augmentation.translation, augmentation.rotation / 360, augmentation.zoom
    chosen = []
    if augmentation.horizontal_flip:
        chosen.append(layers.RandomFlip("horizontal"))
    if turn:
        chosen.append(layers.RandomRotation(turn, **black))
    if zoom:
        chosen.append(layers.RandomZoom(zoom, zoom, **black))
    if shift:
        chosen.append(layers.RandomTranslation(shift, shift, **black))
    return chosen


def random_crop(image: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Cuts a random part out of an image.

    Args:
        image: `(height, width, channels)`.
        augmentation: `crop_min_area` says how much is kept.
        seed: `(2,)` integers.

    Returns:
        `(some height, some width, channels)`; the image itself where the area is 1.
    """
    if augmentation.crop_min_area == 1:
        return image
    import tensorflow as tf

    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.zeros([1, 0, 4], tf.float32),
        seed,
        area_range=(augmentation.crop_min_area, 1.0),
        aspect_ratio_range=CROP_ASPECT_RATIOS,
        use_image_if_no_bounding_boxes=True,
        min_object_covered=0.0,
    )
    crop = tf.slice(image, begin, size)
    return tf.ensure_shape(crop, [None, None, image.shape[-1]])


def transform(image: tf.Tensor, layers: list[keras.layers.Layer], seed: tf.Tensor) -> tf.Tensor:
    """Applies random layers to one image.

    Args:
        image: float32 `(height, width, channels)`, values 0 to 255.
        layers: from `random_layers`.
        seed: `(2,)` integers; each layer draws from the numbers that follow it.
    """
    generator = _ImageSeed(seed)
    for layer in layers:
        drawn = layer.get_random_transformation(image, training=True, seed=generator)
        image = layer.transform_images(image, drawn, training=True)
    return image
