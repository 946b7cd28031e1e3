"""Exported forms found, opened and checked again."""

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export import exported
from keras_vit.export.exportable import Exportable
from keras_vit.export.forms import FORMS


@pytest.mark.few(1)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_what_the_model_says_for_any_batch(exports, images, name):
    model, path = exports
    opened = export.open_exported(path(name))
    assert opened.format == name and opened.labels == ["ant", "bee", "cow", "dog"]
    assert opened.preprocessing == model.preprocessing
    for count in (1, 3):
        expected = Exportable(model).outputs(images[:count])
        outputs = opened(images[:count])
        assert outputs.keys() | {"features"} == expected.keys()
        for key, value in outputs.items():
            assert value.dtype == np.float32 and value.shape == expected[key].shape
            np.testing.assert_allclose(value, expected[key], atol=1e-4)
    assert outputs["probabilities"].std() > 0.05  # different enough to tell the classes apart


@pytest.mark.few(1)
@pytest.mark.parametrize("name", FORMS)
def test_a_check_finds_agreement_until_the_weights_change(exports, name):
    model, path = exports
    assert export.check(model, path(name)) < 1e-4
    bias = model.get_layer("head").bias
    before = bias.numpy()
    try:
        bias.assign_add([0.0, 0.0, 0.0, 0.1])
        assert export.check(model, path(name)) > 0.01
    finally:
        bias.assign(before)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["openvino", "litert", "onnx"])
def test_a_compiled_model_predicts_as_the_model_does(exports, make_model, images, name):
    exports[1](name)  # skips where its packages are missing
    model = make_model(activation=None)
    fast = keras_vit.compiled(model, name)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(fast.predict(images), expected, atol=1e-4)
    np.testing.assert_allclose(fast.predict(images, batch_size=2), expected, atol=1e-4)
    folder = fast.path.parent
    assert folder.exists()
    del fast
    assert not folder.exists()


@pytest.mark.parametrize(
    ("output", "changes"),
    [("features", {"num_classes": 0}), ("logits", {"activation": None}), ("probabilities", {})],
)
def test_it_is_known_what_the_model_itself_returns(make_model, images, output, changes):
    model = make_model(**changes)
    exportable = Exportable(model)
    assert exportable.output == output
    np.testing.assert_allclose(exportable.outputs(images)[output], model(images), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("saved_model", {"saved_model.pb", "labels.txt", "variables.index"}),
        ("litert", {"model.tflite"}),
        ("onnx", {"model.onnx"}),
        ("openvino", {"model.xml", "model.bin"}),
    ],
)
def test_the_files_of_a_form_are_found(exports, name, expected):
    found = {file.name for file in FORMS[name].files(exports[1](name))}
    assert found == expected or name == "saved_model" and found > expected


def test_the_latest_version_is_found(tmp_path):
    for number in ("2", "10", "11"):
        (tmp_path / number).mkdir()
    for number in ("2", "10"):
        (tmp_path / number / "saved_model.pb").touch()
    assert exported.find_saved_model(tmp_path) == tmp_path / "10"
    assert exported.find_saved_model(tmp_path / "2") == tmp_path / "2"
    with pytest.raises(ValueError, match="no saved_model.pb"):
        exported.find_saved_model(tmp_path / "11")


@pytest.mark.parametrize("name", ["a.tflite", "a.onnx", "a.xml", "folder"])
def test_what_is_not_there_or_has_no_metadata_is_an_error(tmp_path, name):
    with pytest.raises(ValueError, match="Expected.*Received"):
        exported.open_exported(tmp_path / name)
    if name == "folder":
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    else:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="json"):
        exported.open_exported(tmp_path / name)


def test_exported_forms_are_told_from_models(tmp_path):
    assert exported.is_exported(tmp_path)
    assert exported.is_exported("model.onnx") and exported.is_exported("model.tflite")
    assert not exported.is_exported("model.keras") and not exported.is_exported("hf://a/b")
