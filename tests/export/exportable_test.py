"""What leaves Python of a model of any kind."""

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer
from keras_vit.export.exportable import Exportable
from keras_vit.images.spec import Preprocessing


def probabilities(values):
    return np.exp(values) / np.exp(values).sum(-1, keepdims=True)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize(
    ("changes", "function"),
    [
        ({}, probabilities),
        ({"activation": None}, probabilities),
        ({"activation": "sigmoid"}, sigmoid),
        ({"activation": None, "multi_label": True}, sigmoid),
        ({"activation": None, "num_classes": 1}, sigmoid),
        ({"num_classes": 1}, sigmoid),
    ],
)
def test_probabilities_say_what_the_classes_mean(make_model, images, changes, function):
    model = make_model(**changes)
    outputs = Exportable(model).outputs(images)
    features = model.pool(model.encode(images))
    np.testing.assert_allclose(outputs["features"], features, atol=1e-5)
    logits = np.asarray(model.head(features))
    np.testing.assert_allclose(outputs["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], function(logits), atol=1e-5)
    assert np.ptp(outputs["probabilities"]) > 0.01


@pytest.mark.parametrize("pooling", ["token", "none"])
def test_a_model_without_head_gives_features(make_model, images, pooling):
    model = make_model(num_classes=0, pooling=pooling)
    outputs = Exportable(model).outputs(images)
    assert outputs.keys() == {"features"}
    np.testing.assert_allclose(outputs["features"], model(images), atol=1e-6)
    assert Exportable(model).names(None) == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_a_model_of_low_precision_can_become_float32(make_model, images, policy):
    model = make_model(dtype=policy)
    low = Exportable(model)
    assert low.outputs(images)["logits"].dtype == np.float32 and not low.is_float32
    full = low.in_float32()
    assert full.is_float32 and full.in_float32() is full
    np.testing.assert_allclose(
        full.outputs(images)["probabilities"], low.outputs(images)["probabilities"], atol=0.02
    )


def own_model(backbone, *layers, before=()):
    x = inputs = keras.Input((16, 24, 3))
    for layer in (*before, backbone, *layers):
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_users_own_head_on_one_of_ours(make_model, fill, images):
    backbone = make_model(num_classes=0)
    model = fill(own_model(backbone, keras.layers.Dense(3)))
    exportable = Exportable(model)
    outputs = exportable.outputs(images)
    np.testing.assert_allclose(outputs["features"], backbone(images), atol=1e-6)
    np.testing.assert_allclose(outputs["probabilities"], probabilities(model(images)), atol=1e-6)
    assert exportable.names(None) == ["0", "1", "2"]
    assert exportable.preprocessing == backbone.preprocessing


def test_a_users_own_probabilities_have_no_logits(make_model, images):
    model = own_model(make_model(num_classes=0), keras.layers.Dense(3, activation="sigmoid"))
    outputs = Exportable(model).outputs(images)
    assert outputs.keys() == {"features", "probabilities"}
    np.testing.assert_allclose(outputs["probabilities"], model(images), atol=1e-6)


def test_a_users_own_model_of_low_precision_can_become_float32(make_model, fill, images):
    with_bias = keras.layers.Dense(3, dtype="mixed_bfloat16")
    low = Exportable(fill(own_model(make_model(num_classes=0, dtype="mixed_bfloat16"), with_bias)))
    full = low.in_float32()
    assert full.is_float32 and not low.is_float32
    np.testing.assert_allclose(
        full.outputs(images)["probabilities"], low.outputs(images)["probabilities"], atol=0.02
    )


def test_layers_in_front_of_the_patches_become_float32_with_the_model(make_model, images):
    low = keras.mixed_precision.DTypePolicy("mixed_bfloat16")
    model = make_model(num_classes=0)
    pixels = keras.Input((16, 24, 3))
    led = VisionTransformer(
        model.config,
        input_tensor=keras.layers.Conv2D(3, 1, kernel_initializer="ones", dtype=low)(pixels),
        dtype=low,
    )
    full = Exportable(led).in_float32()
    assert full.is_float32
    plain = Exportable(VisionTransformer(model.config))
    plain.model.set_weights(led.get_weights()[2:])
    summed = np.repeat(images.sum(-1, keepdims=True), 3, -1)
    np.testing.assert_allclose(
        full.outputs(images)["features"], plain.outputs(summed)["features"], atol=1e-5
    )


def test_layers_before_ours_prepare_images_themselves(make_model):
    rescaling = keras.layers.Rescaling(1 / 127.5, -1)
    model = own_model(make_model(num_classes=0), keras.layers.Dense(3), before=[rescaling])
    pictures = np.full((1, 16, 24, 3), 200, "uint8")
    prepared = Exportable(model).prepare(pictures)
    np.testing.assert_allclose(prepared, pictures, atol=1e-3)


def test_what_cannot_be_exported_is_refused(make_model):
    with pytest.raises(ValueError, match="Expected a keras_vit.VisionTransformer.*Received"):
        Exportable(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    backbone = make_model(num_classes=0)
    maps = own_model(make_model(num_classes=0, pooling="none"), keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"output is \(batch, classes\)"):
        Exportable(maps)
    pair = keras.Model(backbone.inputs, [backbone(backbone.inputs[0])] * 2)
    with pytest.raises(ValueError, match="one input and one output"):
        Exportable(pair)
    model = make_model()
    model.preprocessing = Preprocessing((16, 16))
    with pytest.raises(ValueError, match=r"shape \(16, 24, 3\).*Received: shape \(16, 16, 3\)"):
        Exportable(model)
    with pytest.raises(ValueError, match="each of the 4 classes"):
        Exportable(make_model()).names(["a"])
