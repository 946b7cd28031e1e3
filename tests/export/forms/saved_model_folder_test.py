"""The SavedModel on disk: signatures, values, labels, size, and what the server finds."""

import io
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit import export
from keras_vit.export.forms import FORMS
from keras_vit.images.preprocessing import preprocess_input
from keras_vit.images.spec import Preprocessing

LABELS = ["ant", "bee", "cow", "dog"]


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(count, shape=(37, 51, 3)):
    return np.random.default_rng(1).integers(0, 256, (count, *shape), "uint8")


def opened(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def exported(exports):
    model, path = exports
    folder = path("saved_model")
    return model, folder, opened(folder)


@pytest.mark.parametrize("batch", [0, 4])
def test_encoded_images_give_classes_scores_and_labels(exported, batch):
    model, _, signatures = exported
    images = pictures(batch)
    data = tf.constant([png(image) for image in images], tf.string)
    outputs = {k: v.numpy() for k, v in signatures["classify_bytes"](image_bytes=data).items()}
    assert outputs.keys() == {"classes", "scores", "labels", "valid"}
    assert outputs["classes"].dtype == np.int32 and outputs["scores"].dtype == np.float32
    assert outputs["classes"].shape == outputs["labels"].shape == (batch, 4)
    assert outputs["valid"].tolist() == [True] * batch
    if batch:
        expected = model(preprocess_input(images, model)).numpy()
        order = np.argsort(-expected, axis=-1)
        np.testing.assert_array_equal(outputs["classes"], order)
        best = np.take_along_axis(expected, order, -1)
        np.testing.assert_allclose(outputs["scores"], best, atol=1e-5)
        assert outputs["labels"].tolist() == [[LABELS[c].encode() for c in row] for row in order]


def test_a_corrupt_image_does_not_spoil_the_batch(exported):
    classify = exported[2]["classify_bytes"]
    good, other = (png(image) for image in pictures(2))
    mixed = classify(image_bytes=tf.constant([good, b"corrupt", other]))
    alone = classify(image_bytes=tf.constant([good, other]))
    assert mixed["valid"].numpy().tolist() == [True, False, True]
    assert mixed["labels"].numpy()[1].tolist() == [b""] * 4
    assert mixed["scores"].numpy()[1].tolist() == [0] * 4
    assert mixed["classes"].numpy()[1].tolist() == [-1] * 4
    for name in ("labels", "classes", "scores"):
        got, expected = mixed[name].numpy()[[0, 2]], alone[name].numpy()
        if name == "scores":
            np.testing.assert_allclose(got, expected, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, expected)


def test_what_stands_beside_the_graph(exported):
    _, folder, signatures = exported
    assert (folder / "assets" / "labels.txt").read_text().splitlines() == LABELS
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["format"] == "saved_model" and metadata["labels"] == LABELS
    assert metadata["signatures"] == sorted(signatures)
    assert metadata["signatures"] == ["classify_bytes", "embed", "serving_default"]
    assert metadata["outputs"] == ["logits", "probabilities"]


def test_each_weight_is_stored_once(tmp_path, make_model):
    model = make_model(num_classes=0, hidden_size=256, mlp_dim=1024, num_layers=2, num_heads=4)
    folder = export.saved_model(model, tmp_path)
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert weights <= stored <= 1.01 * weights
    assert total <= 1.05 * weights
    assert not (folder / "assets" / "labels.txt").exists()
    outputs = opened(folder)["serving_default"](images=tf.ones((2, 16, 24, 3)))
    np.testing.assert_allclose(outputs["features"], model(tf.ones((2, 16, 24, 3))), atol=1e-5)


def test_versions_are_never_overwritten(exported, make_model):
    first = exported[1]
    before = {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}
    second = export.saved_model(make_model(num_classes=0), first.parent)
    assert second == first.with_name("2")
    assert before == {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch, make_model):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export.saved_model(make_model(num_classes=0), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16", "bfloat16"])
def test_outputs_are_float32_whatever_the_policy(tmp_path, make_model, policy):
    signatures = opened(export.saved_model(make_model(dtype=policy), tmp_path))
    images = tf.zeros((2, 16, 24, 3))
    for name in ("serving_default", "embed"):
        assert {value.dtype for value in signatures[name](images=images).values()} == {tf.float32}
    outputs = signatures["classify_bytes"](image_bytes=tf.constant([png(pictures(1)[0])]))
    assert outputs["scores"].dtype == tf.float32
    assert 0.1 < outputs["scores"].numpy().max() <= 1


@pytest.mark.slow
def test_a_grey_model_of_any_size_and_several_labels(tmp_path, make_model):
    grey = Preprocessing((24, 24), "bicubic", "crop", 0.9, (0.4,), (0.3,))
    model = make_model(
        activation=None, multi_label=True, in_channels=1, dynamic_image_size=True,
        preprocessing=grey,
    )  # fmt: skip
    signatures = opened(export.saved_model(model, tmp_path, top_k=2))
    images = pictures(2, (30, 40, 1))
    data = tf.constant([png(image) for image in images])
    answer = signatures["classify_bytes"](image_bytes=data)
    logits = model(preprocess_input(images, model)).numpy()
    best = np.sort(1 / (1 + np.exp(-logits)))[:, :-3:-1]
    np.testing.assert_allclose(answer["scores"], best, atol=1e-5)
    assert set(answer["labels"].numpy().ravel()) <= {b"0", b"1", b"2", b"3"}
    other_size = tf.ones((1, 32, 16, 1))
    outputs = signatures["serving_default"](images=other_size)
    np.testing.assert_allclose(outputs["logits"], model(other_size), atol=1e-5)


@pytest.mark.slow
def test_a_users_own_model_has_all_signatures(tmp_path, make_model, fill):
    """With one logit, and layers before the images."""
    rescaling = keras.layers.Rescaling(1 / 127.5, -1)
    layers = [keras.Input((16, 24, 3)), rescaling, make_model(num_classes=0), keras.layers.Dense(1)]
    model = fill(keras.Sequential(layers))
    images = pictures(2, (16, 24, 3))
    signatures = opened(export.saved_model(model, tmp_path, labels=["cat"]))
    outputs = signatures["classify_bytes"](image_bytes=tf.constant([*map(png, images)]))
    expected = 1 / (1 + np.exp(-model(images.astype("float32")).numpy()))
    np.testing.assert_allclose(outputs["scores"], expected, atol=1e-4)
    assert outputs["labels"].numpy().tolist() == [[b"cat"], [b"cat"]]
    assert signatures["embed"](images=tf.zeros((1, 16, 24, 3)))["features"].shape == (1, 64)


def test_a_graph_that_calls_python_is_not_kept(tmp_path, make_model):
    class Calls(keras.layers.Layer):
        def call(self, inputs):
            result = tf.numpy_function(lambda x: x, [inputs], tf.float32)
            return tf.ensure_shape(result, inputs.shape)

    layers = [keras.Input((16, 24, 2)), make_model(num_classes=0, in_channels=2), Calls()]
    with pytest.raises(RuntimeError, match=r"run without Python. Received: \['PyFunc'\]"):
        export.saved_model(keras.Sequential(layers), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantised_weights_are_exported_or_refused_by_name(tmp_path, make_model, images, mode):
    model = make_model()
    model(images)
    model.quantize(mode)
    for form in FORMS.values():
        path = tmp_path / f"{mode}{form.suffix}"
        if mode in form.unknown_quantizations:
            with pytest.raises(ValueError, match=f"quantised to {mode}, for the {form.title}"):
                form.write(model, path)
        else:
            outputs = export.open_exported(form.write(model, path))(images)
            np.testing.assert_allclose(outputs["probabilities"], model(images), atol=1e-3)


@pytest.mark.slow
def test_every_form_has_the_numbers_of_the_adapters(tmp_path, make_model, images):
    model = make_model()
    before = model(images).numpy()
    model.enable_lora(2)
    for block in model.blocks:
        block.attention.qkv.lora_kernel_b.assign_add(tf.ones((2, 192)))
    assert np.abs(model(images).numpy() - before).max() > 0.01
    for form in FORMS.values():
        outputs = export.open_exported(form.write(model, tmp_path / f"lora{form.suffix}"))(images)
        np.testing.assert_allclose(outputs["probabilities"], model(images), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "expected"), [(1000, ["tench", "goldfish"]), (2, ["0", "1"])])
def test_default_labels(tmp_path, make_model, classes, expected):
    folder = export.saved_model(make_model(num_classes=classes), tmp_path)
    assert (folder / "assets" / "labels.txt").read_text().splitlines()[:2] == expected
    outputs = opened(folder)["classify_bytes"](image_bytes=tf.constant([png(pictures(1)[0])]))
    assert outputs["labels"].shape == (1, min(classes, 5))


@pytest.mark.slow
def test_it_runs_where_neither_keras_nor_this_package_can_be_imported(exported, tmp_path):
    program = tmp_path / "run.py"
    program.write_text(
        "import sys\n"
        "sys.modules['keras'] = sys.modules['keras_vit'] = None\n"
        "import numpy as np, tensorflow as tf\n"
        "signatures = tf.saved_model.load(sys.argv[1]).signatures\n"
        "outputs = signatures['serving_default'](images=tf.ones((2, 16, 24, 3)))\n"
        "np.save('probabilities.npy', outputs['probabilities'].numpy())\n"
    )
    command = [sys.executable, str(program), str(pathlib.Path(exported[1]).absolute())]
    subprocess.run(command, check=True, cwd=tmp_path)
    expected = exported[0](tf.ones((2, 16, 24, 3)))
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), expected, atol=1e-5)
