"""Version folders appear whole, under the next number."""

import pytest

from keras_vit.export import versions as module
from keras_vit.export.versions import new_version, versions


def write(path, text="whole"):
    with new_version(path) as new:
        (new.folder / "file").write_text(text)
    return new.published


def test_the_first_version_is_one_and_the_next_follows_the_largest(tmp_path):
    path = tmp_path / "a" / "model"
    assert write(path) == path / "1"
    (path / "7").mkdir()
    (path / "notes").mkdir()
    assert write(path) == path / "8"
    assert versions(path) == [1, 7, 8]
    assert (path / "8" / "file").read_text() == "whole"


def test_no_folder_has_no_versions(tmp_path):
    assert versions(tmp_path / "none") == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(tmp_path, error):
    write(tmp_path, "old")
    with pytest.raises(error), new_version(tmp_path) as new:
        (new.folder / "file").write_text("half")
        assert versions(tmp_path) == [1]  # not seen while it is written
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1" / "file").read_text() == "old"


def test_a_number_taken_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    write(tmp_path, "first")
    seen = [[], [1]]  # the other process had not published yet at the first look
    monkeypatch.setattr(module, "versions", lambda path: seen.pop(0))
    assert write(tmp_path, "second") == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "first"


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OSError):
        write(tmp_path / "model")
