"""Features are the vector that the head reads, of any model, in the order of the split."""

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.evaluation import Features, extract_features, feature_model
from keras_vit.images.spec import Preprocessing

CONFIG = VisionTransformerConfig(image_size=8, patch_size=4, in_channels=1, hidden_size=8,
                                 num_layers=1, num_heads=2, mlp_dim=8, num_classes=3)  # fmt: skip
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")


def test_the_head_on_the_features_gives_the_logits():
    model = VisionTransformer(CONFIG, classifier_activation=None)
    model.get_layer("head").kernel.assign(np.random.default_rng(1).normal(size=(8, 3)))
    vectors = feature_model(model).predict_on_batch(IMAGES)
    assert vectors.shape == (2, 8)
    logits = model.get_layer("head")(vectors)
    np.testing.assert_allclose(logits, model.predict_on_batch(IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "class_token", "chosen"),
    [
        (None, True, lambda all_tokens: all_tokens[:, 0]),
        ("class", True, lambda all_tokens: all_tokens[:, 0]),
        ("mean", True, lambda all_tokens: all_tokens[:, 3:].mean(axis=1)),
        (None, False, lambda all_tokens: all_tokens[:, 2:].mean(axis=1)),
    ],
)
def test_a_model_of_all_tokens_gives_one_of_them_or_their_mean(tokens, class_token, chosen):
    config = CONFIG.replace(
        num_classes=0, pooling="none", class_token=class_token, num_register_tokens=2
    )
    model = VisionTransformer(config)
    registers = model.get_layer("patch_encoder").register_tokens
    registers.assign(
        np.random.default_rng(1).normal(size=registers.shape)
    )  # unlike the class token
    all_tokens = model.predict_on_batch(IMAGES)
    vectors = feature_model(model, tokens=tokens).predict_on_batch(IMAGES)
    np.testing.assert_allclose(vectors, chosen(all_tokens), atol=1e-6)


def test_a_class_token_that_is_not_there_is_refused():
    model = VisionTransformer(CONFIG.replace(num_classes=0, pooling="none", class_token=False))
    with pytest.raises(ValueError, match='Use tokens="mean"'):
        feature_model(model, tokens="class")
    with pytest.raises(ValueError, match="one of"):
        feature_model(model, tokens="first")


def test_of_any_other_model_it_is_what_the_last_dense_layer_reads():
    images = keras.Input((8, 8, 1))
    hidden = keras.layers.Dense(5, name="hidden")(keras.layers.Flatten()(images))
    with_head = keras.Model(images, keras.layers.Softmax()(keras.layers.Dense(3)(hidden)))
    expected = keras.Model(images, hidden).predict_on_batch(IMAGES)
    np.testing.assert_allclose(feature_model(with_head).predict_on_batch(IMAGES), expected)
    convolutional = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
    without_head = keras.Model(images, convolutional)
    assert feature_model(without_head).output_shape == (None, 4)


def test_models_without_one_vector_are_refused():
    images = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="Pool it first"):
        feature_model(keras.Model(images, keras.layers.Conv2D(4, 3)(images)))

    class Unknown(keras.Model):
        pass

    with pytest.raises(ValueError, match="without symbolic inputs"):
        feature_model(Unknown())


def test_every_image_of_a_split_is_run_once_in_its_order(image_sets):
    split = image_sets.data_in_memory(train=22).train
    images = keras.Input((8, 8, 1))
    model = keras.Model(images, keras.ops.mean(images, axis=(2, 3)))
    model.preprocessing = Preprocessing(size=8, mean=(0.5,), std=(0.5,))
    features = extract_features(model, split, 2, batch_size=5)
    assert features.vectors.shape == (22, 8)
    np.testing.assert_array_equal(features.labels, np.arange(22) % 2)
    np.testing.assert_array_equal(features.vectors.argmax(axis=1), np.arange(22) % 2)
    np.testing.assert_array_equal(features.class_counts, [11, 11])
    whole = extract_features(model, split, 2, batch_size=22)
    np.testing.assert_allclose(features.vectors, whole.vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (np.ones((2, 3)), [0], "labels of shape"),
        (np.ones((0, 3)), [], "at least one example"),
        (np.ones((2, 3, 4)), [0, 1], "vectors of shape"),
        ([[1.0], [np.nan]], [0, 1], "finite features"),
        (np.ones((2, 3)), [0, 5], "labels from 0 to 1"),
    ],
)
def test_features_that_do_not_belong_together_are_refused(vectors, labels, message):
    with pytest.raises(ValueError, match=message):
        Features(vectors, labels, 2)
