"""The SavedModel on disk: signatures, values, labels, size, and models of every kind."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_vit
from keras_vit import export
from keras_vit.images.preprocessing import preprocess_input
from keras_vit.images.spec import Preprocessing


def tiny(dtype=None, activation="softmax", preprocessing=None, **changes):
    config = {"image_size": (16, 24), "patch_size": 8, "hidden_size": 32, "num_layers": 2,
              "num_heads": 2, "mlp_dim": 48, "num_classes": 7} | changes  # fmt: skip
    model = keras_vit.VisionTransformer(
        keras_vit.VisionTransformerConfig(**config),
        classifier_activation=activation,
        preprocessing=preprocessing,
        dtype=dtype,
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(count, shape=(37, 51, 3)):
    return np.random.default_rng(1).integers(0, 256, (count, *shape), "uint8")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = tiny()
    labels = ["ant", "bee", "cow", "dog", "eel", "fox", "gnu"]
    folder = export.saved_model(model, tmp_path_factory.mktemp("model"), labels=labels, top_k=3)
    return model, labels, folder, tf.saved_model.load(str(folder)).signatures


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_prepared_images_give_what_the_model_gives(exported, batch):
    model, _, _, signatures = exported
    images = np.random.default_rng(0).normal(size=(batch, 16, 24, 3)).astype("float32")
    outputs = signatures["serving_default"](images=tf.constant(images))
    assert outputs.keys() == {"logits", "probabilities"}
    assert outputs["probabilities"].shape == (batch, 7)
    features = signatures["embed"](images=tf.constant(images))["features"]
    assert features.shape == (batch, 32)
    if batch:
        expected = keras.Model(model.inputs[0], [model.features, model.logits, model.outputs[0]])
        got = [features, outputs["logits"], outputs["probabilities"]]
        for value, wanted in zip(got, expected(images), strict=True):
            np.testing.assert_allclose(value, wanted, atol=1e-5)
        assert model(images).numpy().std() > 0.05  # different enough to tell the classes apart


@pytest.mark.parametrize("batch", [0, 1, 4])
def test_encoded_images_give_classes_scores_and_labels(exported, batch):
    model, labels, _, signatures = exported
    images = pictures(batch)
    data = tf.constant([png(image) for image in images], tf.string)
    outputs = {k: v.numpy() for k, v in signatures["classify_bytes"](image_bytes=data).items()}
    assert outputs.keys() == {"classes", "scores", "labels", "valid"}
    assert outputs["classes"].dtype == np.int32 and outputs["scores"].dtype == np.float32
    assert outputs["classes"].shape == outputs["labels"].shape == (batch, 3)
    assert outputs["valid"].tolist() == [True] * batch
    if batch:
        expected = model(preprocess_input(images, model)).numpy()
        order = np.argsort(-expected, axis=-1)[:, :3]
        np.testing.assert_array_equal(outputs["classes"], order)
        best = np.take_along_axis(expected, order, -1)
        np.testing.assert_allclose(outputs["scores"], best, atol=1e-5)
        assert outputs["labels"].tolist() == [[labels[c].encode() for c in row] for row in order]


def test_a_corrupt_image_does_not_spoil_the_batch(exported):
    classify = exported[3]["classify_bytes"]
    good, other = (png(image) for image in pictures(2))
    mixed = classify(image_bytes=tf.constant([good, b"corrupt", other]))
    alone = classify(image_bytes=tf.constant([good, other]))
    assert mixed["valid"].numpy().tolist() == [True, False, True]
    assert mixed["labels"].numpy()[1].tolist() == [b""] * 3
    assert mixed["scores"].numpy()[1].tolist() == [0] * 3
    assert mixed["classes"].numpy()[1].tolist() == [-1] * 3
    for name in ("labels", "classes", "scores"):
        got, expected = mixed[name].numpy()[[0, 2]], alone[name].numpy()
        if name == "scores":
            np.testing.assert_allclose(got, expected, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, expected)


def test_what_stands_beside_the_graph(exported):
    model, labels, folder, _ = exported
    assert (folder / "assets" / "labels.txt").read_text().splitlines() == labels
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["labels"] == labels
    assert metadata["keras_vit_version"] == keras_vit.__version__
    assert Preprocessing.from_dict(metadata["preprocessing"]) == model.preprocessing
    assert keras_vit.VisionTransformerConfig.from_dict(metadata["config"]) == model.config
    assert metadata["signatures"] == ["classify_bytes", "embed", "serving_default"]


def test_each_weight_is_stored_once(tmp_path):
    model = tiny(hidden_size=256, mlp_dim=1024, num_layers=3, num_heads=4)
    folder = export.saved_model(model, tmp_path)
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert weights <= stored <= 1.01 * weights
    assert total <= 1.05 * weights


def test_versions_are_never_overwritten(tmp_path):
    model = tiny()
    first = export.saved_model(model, tmp_path / "model")
    before = {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}
    assert export.saved_model(model, tmp_path / "model") == tmp_path / "model" / "2"
    assert before == {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export.saved_model(tiny(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_outputs_are_float32_whatever_the_policy(tmp_path, policy):
    model = tiny(dtype=policy)
    signatures = tf.saved_model.load(str(export.saved_model(model, tmp_path))).signatures
    images = tf.zeros((2, 16, 24, 3))
    for name in ("serving_default", "embed"):
        assert {value.dtype for value in signatures[name](images=images).values()} == {tf.float32}
    outputs = signatures["classify_bytes"](image_bytes=tf.constant([png(pictures(1)[0])]))
    assert outputs["scores"].dtype == tf.float32
    assert 0.1 < outputs["scores"].numpy().max() <= 1


@pytest.mark.parametrize("pooling", ["token", "gap", "none"])
def test_a_model_without_head_gives_features(tmp_path, pooling):
    model = tiny(num_classes=0, pooling=pooling)
    folder = export.saved_model(model, tmp_path)
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"serving_default", "embed"}
    images = tf.random.stateless_normal((2, 16, 24, 3), [0, 0])
    for name in signatures:
        outputs = signatures[name](images=images)
        np.testing.assert_allclose(outputs["features"], model(images), atol=1e-5)
    assert not (folder / "assets" / "labels.txt").exists()


@pytest.mark.parametrize(("activation", "function"), [(None, "softmax"), ("sigmoid", "sigmoid")])
def test_probabilities_follow_the_activation_of_the_model(tmp_path, activation, function):
    model = tiny(activation=activation)
    signatures = tf.saved_model.load(str(export.saved_model(model, tmp_path))).signatures
    outputs = signatures["serving_default"](images=tf.ones((2, 16, 24, 3)))
    expected = getattr(tf.nn, function)(outputs["logits"])
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


def test_grey_and_dynamic_models(tmp_path):
    grey = Preprocessing((24, 24), "bicubic", "crop", 0.9, (0.4,), (0.3,))
    model = tiny(in_channels=1, dynamic_image_size=True, preprocessing=grey)
    signatures = tf.saved_model.load(str(export.saved_model(model, tmp_path))).signatures
    images = pictures(2, (30, 40, 1))
    data = tf.constant([png(image) for image in images])
    scores = signatures["classify_bytes"](image_bytes=data)["scores"]
    expected = np.sort(model(preprocess_input(images, model)).numpy())[:, :-6:-1]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    other_size = tf.ones((1, 32, 16, 1))
    outputs = signatures["serving_default"](images=other_size)
    np.testing.assert_allclose(outputs["probabilities"], model(other_size), atol=1e-5)


def test_a_model_from_disk_is_exported_alike(tmp_path):
    model = tiny()
    model.save(tmp_path / "model.keras")
    folder = export.saved_model(keras.saving.load_model(tmp_path / "model.keras"), tmp_path / "out")
    images = tf.ones((1, 16, 24, 3))
    outputs = tf.saved_model.load(str(folder)).signatures["serving_default"](images=images)
    np.testing.assert_allclose(outputs["probabilities"], model(images), atol=1e-5)


@pytest.mark.parametrize(("classes", "expected"), [(1000, ["tench", "goldfish"]), (2, ["0", "1"])])
def test_default_labels(tmp_path, classes, expected):
    folder = export.saved_model(tiny(num_classes=classes), tmp_path)
    assert (folder / "assets" / "labels.txt").read_text().splitlines()[:2] == expected
    outputs = tf.saved_model.load(str(folder)).signatures["classify_bytes"](
        image_bytes=tf.constant([png(pictures(1)[0])])
    )
    assert outputs["labels"].shape == (1, min(classes, 5))


def test_wrong_arguments_are_refused_and_write_nothing(tmp_path):
    model = tiny()
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    for wrong in (
        {"labels": ["a"]},
        {"labels": ["a"] * 6 + [""]},
        {"top_k": 0},
        {"top_k": 2.5},
        {"model": plain},
    ):
        with pytest.raises(ValueError, match="Expected.*Received"):
            export.saved_model(**{"model": model, "path": tmp_path / "out", **wrong})
    model.preprocessing = Preprocessing((16, 16))
    with pytest.raises(ValueError, match=r"shape \(16, 24, 3\).*Received: shape \(16, 16, 3\)"):
        export.saved_model(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
