"""classify_files: the same words from a Keras model and from its export."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import export
from keras_vit.images.pillow_decoding import load_image

LABELS = ["ant", "bee", "cow", "dog"]


def tiny(activation="softmax", **changes):
    config = {"image_size": 16, "patch_size": 8, "hidden_size": 32, "num_layers": 1, "num_heads": 2,
              "mlp_dim": 32, "num_classes": 4} | changes  # fmt: skip
    model = keras_vit.VisionTransformer(
        keras_vit.VisionTransformerConfig(**config), classifier_activation=activation
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture
def files(tmp_path):
    """Five files, the second and the last of which are no images."""
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 30, 3), "uint8")
        Image.fromarray(pixels).save(path)
    paths[1].write_text("no image")
    paths[4].write_bytes(paths[4].read_bytes()[:300])
    return paths


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_files_in_order_and_broken_ones_named(files, batch_size):
    model = tiny()
    results = list(export.classify_files(model, files, labels=LABELS, batch_size=batch_size))
    assert [result["file"] for result in results] == [str(path) for path in files]
    assert ["error" in result for result in results] == [False, True, False, False, True]
    assert "1.png" in results[1]["error"] and "4.png" in results[4]["error"]
    for index in (0, 2, 3):
        expected = model(load_image(files[index], model)[None]).numpy()[0]
        order = np.argsort(-expected)
        predictions = results[index]["predictions"]
        assert [p["label"] for p in predictions] == [LABELS[column] for column in order]
        np.testing.assert_allclose([p["score"] for p in predictions], expected[order], atol=1e-5)


def test_the_export_says_the_same(files, tmp_path):
    model = tiny()
    folder = export.saved_model(model, tmp_path / "served", labels=LABELS)
    expected = list(export.classify_files(model, files, top=3, labels=LABELS))
    for place in (folder, tmp_path / "served"):
        results = list(export.classify_files(place, files, top=3, batch_size=3))
        for got, wanted in zip(results, expected, strict=True):
            assert got.keys() == wanted.keys() and got["file"] == wanted["file"]
            for one, other in zip(
                got.get("predictions", []), wanted.get("predictions", []), strict=True
            ):
                assert (one["class"], one["label"]) == (other["class"], other["label"])
                assert one["score"] == pytest.approx(other["score"], abs=0.01)


@pytest.mark.parametrize(
    ("name", "tool"),
    [("m.tflite", "tensorflow"), ("m.onnx", "tf2onnx"), ("m.xml", "openvino")],
)
def test_other_forms_say_the_same(files, tmp_path, name, tool):
    pytest.importorskip(tool, reason=f"needs {tool}")
    model = tiny()
    write = {"m.tflite": export.litert, "m.onnx": export.onnx, "m.xml": export.openvino}[name]
    path = write(model, tmp_path / name, labels=LABELS)
    expected = list(export.classify_files(model, files, top=3, labels=LABELS))
    for got, wanted in zip(export.classify_files(path, files, top=3), expected, strict=True):
        assert got.keys() == wanted.keys()
        for one, other in zip(
            got.get("predictions", []), wanted.get("predictions", []), strict=True
        ):
            assert (one["class"], one["label"]) == (other["class"], other["label"])
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_logits_become_probabilities(files):
    scores = [
        [p["score"] for p in result["predictions"]]
        for activation in ("softmax", None)
        for result in export.classify_files(tiny(activation), files[:1], labels=LABELS)
    ]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_what_cannot_be_classified_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match="with a head"):
        list(export.classify_files(tiny(num_classes=0), files))
    with pytest.raises(ValueError, match="labels="):
        list(export.classify_files(tiny(), files))
    folder = export.saved_model(tiny(num_classes=0), tmp_path / "features")
    with pytest.raises(ValueError, match="classify_bytes"):
        list(export.classify_files(folder, files))
    with pytest.raises(ValueError, match="has its own"):
        list(export.classify_files(folder, files, labels=LABELS))
    assert keras.backend.backend() == "tensorflow"
