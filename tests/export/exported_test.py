"""Exported forms found and opened again."""

import pytest

from keras_vit.export import exported


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
