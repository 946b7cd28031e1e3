"""Random changes: what they do, and that the seed alone decides."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit.data.augment import (
    Seeds,
    change_appearance,
    random_flip,
    random_window,
    transform,
)
from keras_vit.data.augmentation import Augmentation
from keras_vit.layers.seeds import DrawnSeed

ALL = Augmentation(translation=0.2, rotation=20, zoom=0.2)


def _image(size=16):
    rng = np.random.default_rng(0)
    return tf.constant(rng.uniform(0, 255, (size, size, 3)), tf.float32)


def _seed(*values):
    return tf.constant(values, tf.int64)


def _moved(image, augmentation, *seed):
    return transform(image[None], augmentation, _seed(*seed)[None])[0].numpy()


def test_nothing_is_changed_by_default():
    image = _image()
    assert transform(image, Augmentation(), _seed(0, 0)) is image
    assert change_appearance(image, Augmentation(), Seeds(0, tf.constant(0, tf.int64))) is image
    assert not Augmentation().mixes


@pytest.mark.parametrize("global_seed", [1, 2])
def test_the_seed_alone_decides_to_what_keras_layers_do_with_it(global_seed):
    """Each takes the seeds that follow from where the one before ended."""
    tf.random.set_seed(global_seed)
    black = {"fill_mode": "constant", "fill_value": 0.0}
    layers = [
        keras.layers.RandomRotation(20 / 360, **black),
        keras.layers.RandomZoom(0.2, 0.2, **black),
        keras.layers.RandomTranslation(0.2, 0.2, **black),
    ]
    results = []
    for place in (5, 2**34):
        expected, generator = _image(), DrawnSeed(_seed(1, place))
        for layer in layers:
            drawn = layer.get_random_transformation(expected, training=True, seed=generator)
            expected = layer.transform_images(expected, drawn, training=True)
        results.append(_moved(_image(), ALL, 1, place))
        np.testing.assert_array_equal(results[-1], expected)
    assert np.abs(results[0] - results[1]).max() > 1


def test_the_dtype_policy_changes_nothing():
    """Training in half precision must not round the images."""
    augmentation = Augmentation(rand_augment_ops=8)
    results = []
    before = keras.config.dtype_policy()
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            image = transform(_image()[None], ALL, _seed(3, 3)[None])[0]
            seeds = Seeds(0, tf.constant(0, tf.int64))
            results.append(change_appearance(image, augmentation, seeds).numpy())
        finally:
            keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == np.float32


def test_each_image_of_a_stream_gets_its_own_change():
    seeds = Seeds(0, tf.range(8, dtype=tf.int64)).moves
    changed = transform(tf.stack([_image()] * 8), Augmentation(translation=0.3), seeds)
    assert len({image.tobytes() for image in changed.numpy()}) == 8


def test_half_of_the_images_are_mirrored_and_no_other_change_is_made():
    image = _image()
    mirrored = 0
    for place in range(60):
        result = random_flip(image, _seed(0, place * 16)).numpy()
        flipped = np.array_equal(result, image[:, ::-1])
        assert flipped or np.array_equal(result, image)
        mirrored += flipped
    assert 15 < mirrored < 45


def test_every_purpose_and_every_place_has_seeds_of_its_own():
    seen = set()
    for place in range(3):
        seeds = Seeds(5, tf.constant(place, tf.int64))
        for first in (seeds.crop, *map(seeds.of, Seeds.PURPOSES)):
            seen |= {(int(first[0]), int(first[1]) + number) for number in range(16)}
    assert len(seen) == 3 * 16 * (1 + len(Seeds.PURPOSES))


def test_what_comes_in_from_outside_is_black():
    white = tf.fill([16, 16, 1], 255.0)
    moves = Augmentation(translation=0.5)
    means = [_moved(white, moves, 0, i * 16).mean() for i in range(8)]
    assert min(means) < 200
    assert max(means) <= 255


def test_a_shift_stays_within_its_bound():
    image = np.zeros((20, 20, 1), np.float32)
    image[10, 10] = 255
    for place in range(20):
        result = _moved(image, Augmentation(translation=0.1), 0, place * 16)[..., 0]
        rows, columns = np.nonzero(result > 1)
        assert 7 <= rows.min() and rows.max() <= 13
        assert 7 <= columns.min() and columns.max() <= 13


def test_a_window_keeps_the_share_and_the_ratio_it_promises():
    sizes = set()
    for place in range(20):
        augmentation = Augmentation(crop_min_area=0.25)
        top, left, height, width = random_window(100, 120, augmentation, _seed(0, place)).numpy()
        assert height * width >= 0.24 * 100 * 120
        assert 0.73 < width / height < 1.36
        assert top >= 0 and left >= 0 and top + height <= 100 and left + width <= 120
        sizes.add((height, width))
    assert len(sizes) > 10


@pytest.mark.parametrize(
    "field, value",
    [("crop_min_area", 0), ("crop_min_area", 1.1), ("translation", 1), ("zoom", -0.1),
     ("rotation", 181), ("rand_augment_ops", -1), ("rand_augment_ops", 1.5),
     ("rand_augment_magnitude", 21), ("rand_augment_magnitude_std", -1),
     ("rand_augment_probability", 1.1), ("color_jitter", -0.1), ("random_erasing", 1.1),
     ("mixup_alpha", -1), ("cutmix_alpha", float("inf")), ("mixup_alpha", float("nan")),
     ("mix_probability", 2), ("repeats", 0)],
)  # fmt: skip
def test_an_impossible_amount_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        Augmentation(**{field: value})
