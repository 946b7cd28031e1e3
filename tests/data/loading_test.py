"""`load` finds out what a name or a folder is."""

from pathlib import Path

import pytest

from keras_vit import data


def test_digits_are_ours_even_beside_a_folder_of_that_name(digits_dir, tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert data.load("digits", data_dir=digits_dir).num_classes == 10
    with pytest.raises(ValueError, match="an empty folder"):
        data.load("./digits")


def test_a_folder_of_classes_is_read(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 4, "dog": 4})
    assert data.load(folder).class_names == ("cat", "dog")
    assert data.load(str(folder), held_out_fraction=0.5).validation.num_examples == 4


def test_corrupt_files_of_a_folder_are_left_out_on_request(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 4, "dog": 4})
    (folder / "cat" / "empty.jpg").touch()
    with pytest.raises(ValueError, match=r"'cat/empty.jpg' \(an empty file\)"):
        data.load(folder)
    with pytest.warns(UserWarning, match=r"1 of 9 files .*'cat/empty.jpg' \(an empty file\)"):
        assert data.load(folder, skip_corrupt=True).num_classes == 2


def test_a_prepared_folder_is_read(digits_dir):
    loaded = data.load(digits_dir / "digits" / "1.0.0", splits={"test": "test[:10]"})
    assert loaded.test.num_examples == 10


def test_splits_are_for_tfds_alone(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 4, "dog": 4})
    with pytest.raises(ValueError, match="only for a TFDS data set"):
        data.load(folder, splits={"train": "train"})


@pytest.mark.parametrize("path", ["/no/such/folder", "./photos", Path("photos")])
def test_a_missing_folder_is_no_tfds_name(path):
    with pytest.raises(ValueError, match="a folder that exists"):
        data.load(path)


def test_an_unknown_name_is_one_error():
    with pytest.raises(ValueError, match="'digits', a folder that exists or the name of a TFDS"):
        data.load("fotos_of_cats")
