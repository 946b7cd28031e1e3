"""One definition of probability, for every kind of head."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.models.probability import output_meaning, probabilities

LOGITS = np.array([[-5.0, 2.0, 0.5], [5.5, 2.0, 0.0]], "float32")
SIGMOIDS = 1 / (1 + np.exp(-LOGITS))
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
TINY = VisionTransformerConfig(
    image_size=8, patch_size=8, hidden_size=4, num_layers=1, num_heads=1, mlp_dim=4, num_classes=3
)


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize(
    "outputs, meaning, expected",
    [
        (LOGITS, "softmax", SOFTMAX),
        (LOGITS, "sigmoid", SIGMOIDS),
        (SIGMOIDS, "probabilities", SIGMOIDS),
        (LOGITS[:, :1], "softmax", SIGMOIDS[:, :1]),
        (LOGITS[:, :1], "sigmoid", SIGMOIDS[:, :1]),
    ],
)
def test_outputs_become_probabilities(outputs, meaning, expected):
    np.testing.assert_allclose(as_numpy(probabilities(outputs, meaning)), expected, atol=1e-6)


def test_an_unknown_meaning_is_refused():
    with pytest.raises(ValueError, match="meaning"):
        probabilities(LOGITS, "logits")


# activation, fields of the config: what the outputs mean, and the probabilities of LOGITS
HEADS = {
    "softmax": ("softmax", {}, "probabilities", SOFTMAX),
    "sigmoid": ("sigmoid", {}, "probabilities", SIGMOIDS),
    "logits": (None, {}, "softmax", SOFTMAX),
    "logits of several labels": (None, {"multi_label": True}, "sigmoid", SIGMOIDS),
    "one class": ("softmax", {"num_classes": 1}, "probabilities", SIGMOIDS[:, :1]),
    "one logit": (None, {"num_classes": 1}, "softmax", SIGMOIDS[:, :1]),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_model_knows_what_its_outputs_mean_and_keeps_it(head, tmp_path):
    activation, fields, meaning, expected = HEADS[head]
    model = VisionTransformer(TINY.replace(**fields), classifier_activation=activation)
    model.save(tmp_path / "model.keras")
    for one in (model, keras.saving.load_model(tmp_path / "model.keras")):
        weights = one.get_layer("head").weights
        weights[1].assign(LOGITS[1, : expected.shape[1]])  # the kernel is zero: so are the logits
        images = np.zeros((1, 8, 8, 3), "float32")
        outputs = one(images)
        np.testing.assert_allclose(as_numpy(one.probabilities(outputs)), expected[1:], atol=1e-6)
        logits = one.head(one.pool(one.encode(images)))
        of_logits = one.probabilities(logits, from_logits=True)
        np.testing.assert_allclose(as_numpy(of_logits), expected[1:], atol=1e-6)
        assert output_meaning(one) in (meaning, "sigmoid" if "one" in head else meaning)


def test_a_softmax_over_several_labels_is_refused():
    with pytest.raises(ValueError, match='classifier_activation="sigmoid"'):
        VisionTransformer(TINY.replace(multi_label=True))


@pytest.mark.parametrize(
    "last, meaning",
    [
        (keras.layers.Dense(3), "softmax"),
        (keras.layers.Dense(3, activation="softmax"), "probabilities"),
        (keras.layers.Dense(3, activation="sigmoid"), "probabilities"),
        (keras.layers.Softmax(), "probabilities"),
        (keras.Sequential([keras.layers.Dense(3, "sigmoid")]), "probabilities"),
        (ops.softmax, "probabilities"),
    ],
)
def test_the_last_activation_of_another_model_tells(last, meaning):
    inputs = keras.Input((3,))
    outputs = last(inputs)
    cast = keras.layers.Activation("linear", dtype="float32")(outputs)
    for end in (outputs, cast):
        assert output_meaning(keras.Model(inputs, end)) == meaning
    sequential = keras.Sequential([inputs, keras.layers.Dense(3), keras.layers.Softmax()])
    assert output_meaning(sequential) == "probabilities"
