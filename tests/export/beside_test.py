"""An exported file and what stands beside it come together or not at all."""

import pytest

from keras_vit.export import beside


def test_all_files_of_the_block_arrive(tmp_path):
    target = tmp_path / "new" / "model.xml"
    with beside.writing_beside(target) as scratch:
        scratch.write_text("graph")
        scratch.with_suffix(".bin").write_text("weights")
        assert not target.exists()
    assert sorted(file.name for file in target.parent.iterdir()) == ["model.bin", "model.xml"]


def test_a_failure_leaves_what_was_there(tmp_path):
    target = tmp_path / "model.xml"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), beside.writing_beside(target) as scratch:
        scratch.write_text("new")
        raise OSError("full")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_metadata_comes_back(tmp_path):
    values = {"preprocessing": {}, "labels": ["é"]}
    beside.write_metadata(tmp_path / "a.onnx", values)
    assert beside.read_metadata(tmp_path / "a.onnx") == values


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_metadata_that_is_missing_or_broken_is_an_error(tmp_path, text):
    if text is not None:
        (tmp_path / "a.onnx.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.onnx\.json.*Received"):
        beside.read_metadata(tmp_path / "a.onnx")
