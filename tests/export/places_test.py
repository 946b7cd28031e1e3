"""An export is in its place whole or not at all."""

import pytest

from keras_vit.export import places
from keras_vit.export.places import MAX_VERSION, new_file, new_version, versions


def write(path, text="whole"):
    with new_version(path) as place:
        (place.scratch / "file").write_text(text)
    return place.published


def test_a_file_and_what_stands_beside_it_arrive_together(tmp_path):
    target = tmp_path / "new" / "model.xml"
    with new_file(target) as place:
        place.scratch.write_text("graph")
        place.scratch.with_suffix(".bin").write_text("weights")
        assert not target.exists()
    assert place.published == target
    assert sorted(file.name for file in target.parent.iterdir()) == ["model.bin", "model.xml"]


def test_a_failure_leaves_the_file_that_was_there(tmp_path):
    target = tmp_path / "model.xml"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), new_file(target) as place:
        place.scratch.write_text("new")
        raise OSError("full")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_the_first_version_is_one_and_the_next_follows_the_largest(tmp_path):
    path = tmp_path / "a" / "model"
    assert write(path) == path / "1"
    (path / "007").mkdir()
    (path / "notes").mkdir()
    assert write(path) == path / "8"
    assert versions(path) == {1: path / "1", 7: path / "007", 8: path / "8"}
    assert (path / "8" / "file").read_text() == "whole"
    assert versions(tmp_path / "none") == {}


def test_no_version_follows_the_largest_that_the_server_reads(tmp_path):
    (tmp_path / str(MAX_VERSION + 1)).mkdir()  # is none to the server
    assert write(tmp_path) == tmp_path / "1"
    (tmp_path / str(MAX_VERSION)).mkdir()
    with pytest.raises(ValueError, match=f"Expected a version below {MAX_VERSION}.*Rename"):
        write(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_no_version_behind(tmp_path, error):
    write(tmp_path, "old")
    with pytest.raises(error), new_version(tmp_path) as place:
        (place.scratch / "file").write_text("half")
        assert versions(tmp_path).keys() == {1}  # not seen while it is written
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1" / "file").read_text() == "old"


def test_a_number_taken_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    write(tmp_path, "first")
    seen = [{}, {}, {1: None}]  # the other process had not published yet at the first looks
    monkeypatch.setattr(places, "versions", lambda path: seen.pop(0))
    assert write(tmp_path, "second") == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "first"


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OSError):
        write(tmp_path / "model")
