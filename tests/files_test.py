"""A file is whole or not there."""

import json

import pytest

from keras_vit.files import replacing, write_json


def test_the_target_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "model.keras"
    with replacing(target) as path:
        path.write_text("whole")
        assert path.suffix == ".keras" and path.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path):
    target = tmp_path / "note.txt"
    target.write_text("older")
    with pytest.raises(OSError, match="full"), replacing(target) as path:
        path.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"naïve": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"naïve": [1, None]}


def test_values_that_json_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())
