"""Layers of Keras and keras-cv: the same numbers whoever asks and wherever it begins."""

import dataclasses
import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit import data
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.augmentation_layers import LayersOnBatches, read_layers
from keras_vit.data.pipeline import training_batches
from keras_vit.images.spec import Preprocessing

IMAGES = tf.constant(np.random.default_rng(0).integers(30, 200, (6, 16, 16, 3)), tf.float32)
LABELS = tf.one_hot(np.arange(6) % 3, 3)
LAYERS = [
    "GridMask", "FourierMix", "MixUp", "RandomGrayscale", "Grayscale(output_channels=3)",
    "AugMix(severity=0.5)", "keras.AugMix", "AutoContrast", "ChannelShuffle", "CutMix",
    "keras_cv.CutMix", "Equalization", "keras_cv.MixUp", "Mosaic", "Posterization(bits=3)",
    "RandAugment", "keras_cv.RandAugment", "RandomChannelShift(factor=0.5)",
    "JitteredResize(target_size=(16, 16), scale_factor=(0.5, 1.5))",
    "RandomCutout(height_factor=0.4, width_factor=0.4)",
    "RandomCropAndResize(target_size=(16, 16), crop_area_factor=(0.5, 1.0), "
    "aspect_ratio_factor=(0.8, 1.2))",
    "keras_cv.RandomColorJitter(brightness_factor=0.3, contrast_factor=0.3, "
    "saturation_factor=(0.3, 0.7), hue_factor=0.2)",
    "keras_cv.RandomGaussianBlur(kernel_size=3, factor=(0.5, 1.0))",
    "keras_cv.RandomShear(x_factor=0.3, y_factor=0.3)", "RandomElasticTransform", "RandomErasing",
    "RandomInvert", "RandomPerspective", "RandomHue(factor=0.5)", "RandomPosterization(factor=4)",
    "ContrastLimitedAdaptiveHistogramEqualization",
]  # fmt: skip
FIXED = ("AutoContrast", "Equalization", "Grayscale", "Posterization", "Contrast")
MIXING = ("CutMix", "FourierMix", "MixUp", "Mosaic")


def changed(layers, seed=0, places=(0,)):
    """What layers make of the same batch at several places of the stream."""
    on_batches = LayersOnBatches(layers, seed)
    batches = tf.data.Dataset.from_tensor_slices(tf.constant(places, tf.int64))
    batches = batches.map(lambda place: on_batches(IMAGES, LABELS, place))
    return [[values.numpy() for values in batch] for batch in batches]


@pytest.mark.few(2)
@pytest.mark.parametrize("text", LAYERS, ids=lambda text: text.partition("(")[0])
def test_each_layer_is_told_by_seed_and_place_alone(text):
    """Made anew, begun elsewhere, and after the program's own seeds have moved."""
    tf.random.set_seed(1)
    first, second = changed(read_layers(text), places=(0, 6))
    tf.random.set_seed(2)
    keras.utils.set_random_seed(3)
    (again,) = changed(read_layers(text), places=(6,))
    for values, same in zip(second, again, strict=True):
        np.testing.assert_array_equal(values, same)
    images, labels = second
    assert images.shape == IMAGES.shape and 0 <= images.min() and 10 < images.max() <= 255
    assert np.abs(images - IMAGES).mean() > 0.5
    name = text.partition("(")[0].rpartition(".")[2]
    assert (labels.max(axis=-1) < 1).any() == (name in MIXING)
    np.testing.assert_allclose(labels.sum(axis=-1), 1, atol=1e-5)
    if not name.startswith(FIXED):
        (other,) = changed(read_layers(text), seed=1, places=(6,))
        assert not np.array_equal(images, other[0])
        assert text == "keras.AugMix" or not np.array_equal(images, first[0])


@pytest.fixture(scope="module")
def split(image_sets):
    """Twelve images of 8 x 8 pixels."""
    return image_sets.data_in_memory(train=12, channels=3).train


def batches_of(split, steps=3, augmentation=None, **place):
    batches = training_batches(
        split,
        Preprocessing(size=8),
        batch_size=4,
        num_classes=2,
        seed=5,
        augmentation=augmentation,
        **place,
    )
    gc.collect()
    return [[values.numpy() for values in batch] for batch in batches.take(steps)]


@pytest.fixture(scope="module")
def plain(split):
    """Its first batch, unchanged."""
    return batches_of(split, 1)[0]


@pytest.mark.slow
def test_workers_and_resumption_change_nothing(split):
    """With some of ours around the layers."""
    augmentation = Augmentation(
        horizontal_flip=True, layers="GridMask, keras_cv.MixUp", random_erasing=0.5, repeats=2
    )
    whole = batches_of(split, 3, augmentation)
    place = {"num_shards": 2, "shard_index": 1, "start_step": 1}
    for one, part in zip(whole[1:], batches_of(split, 2, augmentation, **place), strict=True):
        for values, ours in zip(one, part, strict=True):
            np.testing.assert_array_equal(values[2:], ours)


def test_layers_and_their_names_are_the_same(split, plain):
    """One after the other; a layer of one's own takes images alone. Both stay as they were."""

    class Darker(keras.layers.Layer):
        def call(self, images):
            return images / 2

    layer = keras.layers.RandomInvert(factor=(1.0, 1.0))
    generator = layer.generator
    augmented = dataclasses.replace(split, augment=(Darker(), layer))
    augmentation = Augmentation(layers="RandomInvert(factor=(1.0, 1.0))")
    ((images, labels),) = batches_of(augmented, 1, augmentation)
    np.testing.assert_allclose(images, (plain[0] + 1) / 2 - 1, atol=1e-5)  # turned round twice
    np.testing.assert_array_equal(labels, plain[1])
    assert layer.generator is generator


def test_load_puts_layers_on_the_training_split(digits_dir):
    loaded = data.load("digits", data_dir=digits_dir, augment=["GridMask", keras.layers.MixUp()])
    assert [type(layer).__name__ for layer in loaded.train.augment] == ["GridMask", "MixUp"]
    assert loaded.test.augment == ()
    with pytest.raises(ValueError, match="list of layers"):
        data.load("digits", data_dir=digits_dir, augment="GridMask")


@pytest.mark.slow
def test_several_replicas_get_the_same_batches(split):
    layered = dataclasses.replace(split, augment=tuple(read_layers("keras_cv.MixUp")))
    whole = batches_of(layered, 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        inside = batches_of(layered, 2)
        distributed = strategy.distribute_datasets_from_function(
            lambda context: training_batches(
                layered, Preprocessing(size=8), batch_size=4, num_classes=2, seed=5
            )
        )
        batches = iter(distributed)
        spread = [[values.numpy() for values in next(batches)] for _ in range(2)]
    for batch, *others in zip(whole, inside, spread, strict=True):
        for other in others:
            for values, same in zip(batch, other, strict=True):
                np.testing.assert_array_equal(values, same)


@pytest.mark.parametrize(
    "text, message",
    [
        ("GridMsk", "Received: 'GridMsk'. Nearest: .*'GridMask'"),
        ("keras.GridMask", "augmentation of keras. Received: 'GridMask'"),
        ("torch.MixUp", "one of .*Received: 'torch'"),
        ("Dense(units=3)", "Received: 'Dense'"),
        ("GridMask(0.3)", "Expected layers such as"),
        ("GridMask(ratio=0.3)", "arguments that 'GridMask' takes"),
        ("GridMask(ratio_factor=__import__('os'))", "Expected layers such as"),
        ("GridMask; MixUp", "Expected layers such as"),
        ("RandomJpegQuality(factor=(75, 100))", "0 to 1, not of 0 to 255"),
    ],
)
def test_what_is_no_layer_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        LayersOnBatches(read_layers(text), 0)


def test_a_layer_that_changes_the_size_is_refused(split):
    with pytest.raises(ValueError, match=r"keep the size \(8, 8, 3\).*Resizing, which made \(4, 4"):
        batches_of(split, augmentation=Augmentation(layers="Resizing(height=4, width=4)"))
