"""Models of keras.applications become classifiers that `train` takes."""

import types

import keras
import numpy as np
import pytest

from benchmarks import baselines
from keras_vit.images.preprocessing import normalize
from keras_vit.images.spec import Preprocessing

SMALL = "MobileNet:alpha=0.25"


def test_a_baseline_has_logits_preprocessing_and_its_seed():
    model = baselines.build_baseline(SMALL, 7, seed=3)
    assert model.name == "MobileNet"
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 7)
    assert model.preprocessing == Preprocessing(size=32)
    logits = model.predict_on_batch(np.random.default_rng(0).normal(size=(4, 32, 32, 3)))
    assert logits.min() < 0  # no softmax
    again = baselines.build_baseline(SMALL, 7, seed=3)
    other = baselines.build_baseline(SMALL, 7, seed=4)
    same, different = (
        np.abs(model.get_weights()[0] - baseline.get_weights()[0]).max()
        for baseline in (again, other)
    )
    assert same == 0 < different


def test_arguments_and_way_to_crop_are_passed_on():
    wide = baselines.build_baseline("MobileNet:alpha=0.5", 7)
    assert wide.count_params() > baselines.build_baseline(SMALL, 7).count_params()
    cropped = Preprocessing(size=64, resampling="bicubic", resize="crop", crop_fraction=0.9,
                            mean=(0.5,), std=(0.5,))  # fmt: skip
    model = baselines.build_baseline(SMALL, 7, preprocessing=cropped)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.preprocessing == cropped.replace(mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize(
    ("name", "family"),
    [("ResNet152V2", "resnet_v2"), ("DenseNet121", "densenet"), ("EfficientNetB0", "efficientnet")],
)
def test_images_are_normalised_as_the_family_does(name, family):
    mean, std = baselines.normalization(name, pretrained=True)
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    ours = normalize(images, Preprocessing(size=4, mean=mean, std=std))
    theirs = getattr(keras.applications, family).preprocess_input(images.copy())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_swapped_colours_are_refused_for_published_weights_alone():
    assert baselines.normalization("ResNet152", pretrained=False) == ((0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ValueError, match="swaps red and blue"):
        baselines.normalization("ResNet152", pretrained=True)


def test_weights_without_top_are_read(tmp_path):
    source = baselines.build_baseline(SMALL, 3, seed=1)
    base = keras.Model(source.input, source.layers[-1].input)
    base.save_weights(tmp_path / "base.weights.h5")
    loaded = baselines.build_baseline(SMALL, 5, weights=str(tmp_path / "base.weights.h5"))
    np.testing.assert_array_equal(loaded.get_weights()[0], source.get_weights()[0])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ResNet152V3", "Nearest: 'ResNet152V2'"),
        ("resnet", "a model of keras.applications"),
        ("MobileNetV2:alpha", "name=value"),
        ("MobileNetV2:alpha=wide", "name=value"),
        ("MobileNetV2:weights=None", "name=value"),
        ("MobileNetV2:beta=1", "arguments that MobileNetV2 takes"),
    ],
)
def test_unknown_names_and_arguments_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        baselines.build_baseline(spec, 3)


@pytest.mark.parametrize(("steps", "momentum"), [(5, 0.0), (50, 0.8), (400, 0.975), (9999, 0.99)])
def test_moving_statistics_keep_up_with_a_short_training(steps, momentum):
    inner = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(momentum=0.5)])
    outer = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(), inner])
    baselines.settle_statistics(outer, steps)
    assert outer.layers[0].momentum == pytest.approx(momentum)
    assert inner.layers[0].momentum == pytest.approx(min(momentum, 0.5))


def test_only_modules_are_families():
    assert isinstance(keras.applications.resnet_v2, types.ModuleType)
