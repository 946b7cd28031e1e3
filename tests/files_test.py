"""A file is whole or not there."""

import json
import os

import pytest

from keras_vit.files import read_json, remove_leftovers, replacing, write_json


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


def test_what_a_killed_process_left_of_a_target_goes_with_the_next_one(tmp_path):
    target = tmp_path / "model.safetensors"
    names = (".model.0123abcd.safetensors", ".model.89abcdef.safetensors", ".model.v2.safetensors")
    for name in (*names, ".other.0123abcd.safetensors"):
        (tmp_path / name).touch()
    os.utime(tmp_path / names[0], (1e9, 1e9))
    os.utime(tmp_path / names[2], (1e9, 1e9))
    with replacing(target) as path:
        path.write_text("whole")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {target.name, *names[1:], ".other.0123abcd.safetensors"}


def test_json_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"naïve": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"naïve": [1, None]}


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_object_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a JSON object in '.*a\.json'. Received: "):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        read_json(tmp_path / "nowhere.json")


def test_json_too_large_to_be_a_config_is_not_read(tmp_path):
    with open(tmp_path / "a.json", "wb") as file:
        file.seek(2**26)
        file.write(b"{}")
    with pytest.raises(ValueError, match="more than 67108864 bytes"):
        read_json(tmp_path / "a.json")


def test_a_mark_of_byte_order_is_no_part_of_json(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_values_that_json_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_a_durable_file_and_its_name_are_on_the_disk_before_the_older_one_goes(
    tmp_path, monkeypatch
):
    done = []
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.fstat(file).st_ino))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("moved"), replace(*names)))
    with replacing(tmp_path / "note.txt", durable=True) as path:
        path.write_text("whole")
        inode = path.stat().st_ino
    assert done == [inode, "moved", tmp_path.stat().st_ino]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    kept = [
        "note.txt",
        ".hidden",
        ".note.txt",
        ".note.012345678.txt",
        "note.01234567.txt",
        ".tmp",
        ".tmp123",
        ".tmp_backup",
    ]
    left = [".model.0123abcd.keras", ".other.4567cdef.keras", ".plain.0123abcd", ".tmpAb3xYz"]
    for name in kept + left:
        (tmp_path / name).write_text("half")
    (tmp_path / ".folder.0123abcd").mkdir()
    assert {path.name for path in remove_leftovers(tmp_path)} == set(left)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, ".folder.0123abcd"}
    assert remove_leftovers(tmp_path / "nowhere") == []


def test_leftovers_are_what_replacing_leaves_when_it_is_killed(tmp_path):
    with pytest.raises(OSError), replacing(tmp_path / "a.keras") as path:
        path.write_text("half")
        copy = path.read_text()
        name = path.name
        raise OSError("killed")
    (tmp_path / name).write_text(copy)
    assert [path.name for path in remove_leftovers(tmp_path)] == [name]
