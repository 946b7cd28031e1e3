"""Erasing, MixUp and CutMix: what goes in comes out, in pairs, and labels tell the shares."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit.data import mixing

LABELS = tf.one_hot([0, 1, 2, 3, 0, 1, 2, 3], 4)


def _images(batch=8, size=(12, 10)):
    """Images of one value each: 10, 20, 30 and so on."""
    values = 10.0 * np.arange(1, batch + 1, dtype=np.float32)
    return tf.constant(np.tile(values[:, None, None, None], (1, *size, 3)))


def _draws(alphas, places=range(8)):
    return tf.stack([mixing.mix_draws(*alphas, tf.constant([0, place])) for place in places])


def _mix(mixup, cutmix, probability=1.0, images=None):
    return mixing.mix_pairs(
        _images() if images is None else images,
        LABELS,
        _draws((mixup, cutmix)),
        mixup_alpha=mixup,
        cutmix_alpha=cutmix,
        probability=probability,
    )


def test_mixup_blends_an_image_with_its_neighbour_by_the_share_of_its_label():
    images, labels = (values.numpy() for values in _mix(0.8, 0))
    for row in range(8):
        partner = row ^ 1
        share = labels[row, row % 4]
        assert labels[row, partner % 4] == pytest.approx(1 - share)
        expected = share * 10 * (row + 1) + (1 - share) * 10 * (partner + 1)
        np.testing.assert_allclose(images[row], expected, rtol=1e-5)
        assert labels[partner, partner % 4] == pytest.approx(share)
    assert len(np.unique(labels[::2, [0, 2]].max(axis=1).round(5))) > 1


def test_cutmix_exchanges_a_box_of_the_share_of_the_label():
    images, labels = (values.numpy() for values in _mix(0, 1.0))
    seen = 0
    for row in range(8):
        partner = row ^ 1
        foreign = images[row, ..., 0] == 10 * (partner + 1)
        assert (foreign | (images[row, ..., 0] == 10 * (row + 1))).all()
        assert labels[row, partner % 4] == pytest.approx(foreign.mean())
        rows, columns = np.nonzero(foreign)
        if foreign.any():
            assert foreign.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            seen += 1
    assert seen >= 4


@pytest.mark.parametrize("alphas", [(0.1, 0), (0, 0.05), (0.8, 1.0)])
def test_soft_labels_sum_to_one(alphas):
    np.testing.assert_allclose(_mix(*alphas)[1].numpy().sum(axis=-1), 1, atol=1e-6)


def test_with_both_some_pairs_get_the_one_and_some_the_other():
    draws = _draws((0.8, 1.0), range(80))
    images = _images(80)
    labels = tf.one_hot(np.arange(80) % 4, 4)
    options = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "probability": 1.0}
    mixed, _ = mixing.mix_pairs(images, labels, draws, **options)
    blended = [np.unique(image).size == 1 and image.max() % 10 != 0 for image in mixed.numpy()]
    assert 20 < sum(blended) < 60


def test_some_pairs_stay_as_they_are():
    images, labels = _mix(0.8, 1.0, probability=0.0)
    np.testing.assert_array_equal(images, _images())
    np.testing.assert_array_equal(labels, LABELS)
    labels = _mix(0.8, 0, probability=0.5)[1].numpy()
    untouched = (labels.max(axis=-1) == 1).reshape(4, 2)
    assert (untouched[:, 0] == untouched[:, 1]).all()
    assert 0 < untouched[:, 0].sum() < 4


@pytest.mark.few(1)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha):
    shares = _draws((alpha, alpha), range(400)).numpy()[:, 4:]
    assert np.abs(shares.mean() - 0.5) < 0.05
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.2)


def test_the_smallest_alpha_gives_numbers():
    shares = _draws((0.01, 0.01), range(50)).numpy()
    assert np.isfinite(shares).all()


def test_the_share_of_erased_images_and_pixels_is_as_said():
    image = tf.zeros([40, 60, 3])
    areas = []
    for place in range(120):
        result = mixing.random_erasing(image, 0.5, tf.constant([0, place])).numpy()
        changed = (result != 0).any(axis=-1)
        if changed.any():
            rows, columns = np.nonzero(changed)
            assert changed.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            areas.append(changed.mean())
    assert 40 < len(areas) < 80
    assert 0.015 < min(areas) < 0.1 and 0.25 < max(areas) < 0.345


def test_what_is_erased_is_standard_normal_noise_decided_by_the_seed():
    image = tf.zeros([40, 40, 3])
    first, again, other = (
        mixing.random_erasing(image, 1.0, tf.constant([0, place])).numpy() for place in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    noise = first[first != 0]
    assert abs(noise.mean()) < 0.2 and abs(noise.std() - 1) < 0.2


def test_mixup_of_keras_still_takes_its_partners_from_the_whole_batch():
    """The reason for our own: a result must not depend on the size of a worker's batch."""
    layer, neighbours = keras.layers.MixUp(seed=0), [1, 0, 3, 2, 5, 4, 7, 6]
    orders = [layer.get_random_transformation(_images())["permutation_order"] for _ in range(4)]
    assert any(np.asarray(order).tolist() != neighbours for order in orders)


def test_noise_of_keras_is_still_cut_off_at_black():
    layer = keras.layers.RandomErasing((1.0, 1.0), seed=0)
    noise = np.asarray(layer.get_random_transformation(np.zeros((20, 20, 3)))["fill_value"])
    assert (noise == 0).mean() > 0.4
