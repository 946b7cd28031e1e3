"""Folders become data sets, or one error that says what is wrong with them."""

import numpy as np
import pytest

from keras_vit.data.folders import read_folder


def _paths(split):
    return [reference["image"].decode() for reference in split.references().as_numpy_iterator()]


def test_a_folder_of_classes_holds_out_a_share_of_each(tmp_path, image_sets):
    data = read_folder(image_sets.write_folder(tmp_path, {"cat": 10, "dog": 20}))
    assert data.class_names == ("cat", "dog")
    assert list(data.splits) == ["train", "validation"]
    labels = [r["label"] for r in data.validation.references().as_numpy_iterator()]
    assert np.bincount(labels).tolist() == [2, 4]
    assert len({*_paths(data.train), *_paths(data.validation)}) == 30
    assert all(f"/{'cat' if r['label'] == 0 else 'dog'}/" in r["image"].decode()
               for r in data.train.references().as_numpy_iterator())  # fmt: skip


def test_the_share_held_out_can_be_chosen(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 10, "dog": 10})
    assert read_folder(folder, held_out_fraction=0.5).validation.num_examples == 10


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_split_folders_keep_their_roles(tmp_path, image_sets, name):
    image_sets.write_folder(tmp_path / "train", {"cat": 3, "dog": 3})
    image_sets.write_folder(tmp_path / name, {"cat": 1, "dog": 2})
    image_sets.write_folder(tmp_path / "test", {"cat": 2, "dog": 2})
    data = read_folder(tmp_path)
    sizes = {role: split.num_examples for role, split in data.splits.items()}
    assert sizes == {"train": 6, "validation": 3, "test": 4}


def test_a_lone_training_folder_is_split(tmp_path, image_sets):
    image_sets.write_folder(tmp_path / "train", {"cat": 5, "dog": 5})
    data = read_folder(tmp_path)
    assert (data.train.num_examples, data.validation.num_examples) == (8, 2)
    assert data.class_names == ("cat", "dog")


def test_the_layout_agrees_with_tfds_image_folder(tmp_path, image_sets):
    import tensorflow_datasets as tfds

    for split in ("train", "test"):
        image_sets.write_folder(tmp_path / split, {"cat": 2, "dog": 3})
    data, builder = read_folder(tmp_path), tfds.ImageFolder(str(tmp_path))
    assert list(data.class_names) == builder.info.features["label"].names
    for split in ("train", "test"):
        assert data.split(split).num_examples == builder.info.splits[split].num_examples


def test_hidden_files_are_passed_over(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 3, "dog": 3})
    (folder / ".git").mkdir()
    for name in (".DS_Store", "Thumbs.db"):
        (folder / "cat" / name).write_bytes(b"x")
    data = read_folder(folder)
    assert data.train.num_examples + data.validation.num_examples == 6


def test_the_split_does_not_change_from_read_to_read(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 9, "dog": 9})
    first, second = (_paths(read_folder(folder).validation) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "counts, message",
    [
        ({}, "an empty folder"),
        ({"cat": 4}, "at least two classes.*'cat'"),
        ({"cat": 4, "dog": 0}, "none in 'dog'"),
        ({"cat": 4, "dog": 1}, "at least two examples"),
    ],
)
def test_a_folder_that_cannot_be_learned_from_is_refused(tmp_path, image_sets, counts, message):
    image_sets.write_folder(tmp_path, counts)
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def test_files_without_classes_are_refused(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="files alone"):
        read_folder(tmp_path)


def test_images_right_in_the_folder_of_a_split_are_named(tmp_path, image_sets):
    """Or classes that bear the names of splits."""
    image_sets.write_folder(tmp_path, {"train": 3, "test": 3})
    with pytest.raises(ValueError, match="'test' and 'train' without one.*classes and not splits"):
        read_folder(tmp_path)


def test_a_class_that_a_split_lacks_is_named(tmp_path, image_sets):
    image_sets.write_folder(tmp_path / "train", {"cat": 3, "dog": 3})
    image_sets.write_folder(tmp_path / "test", {"cat": 3})
    with pytest.raises(ValueError, match="none in 'test/dog'"):
        read_folder(tmp_path)


def test_a_foreign_file_stops_the_reading(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 3, "dog": 3})
    (folder / "dog" / "notes.txt").write_text("not a dog")
    with pytest.raises(ValueError, match=r"'dog/notes.txt' \(not an image but text\)"):
        read_folder(folder)


def test_corrupt_files_are_left_out_on_request_and_named(tmp_path, image_sets):
    folder = image_sets.write_folder(tmp_path, {"cat": 5, "dog": 5})
    (folder / "dog" / "000.png").write_bytes((folder / "dog" / "000.png").read_bytes()[:40])
    (folder / "cat" / "notes.txt").write_text("not a cat")
    with pytest.raises(ValueError, match="Received 2 that cannot be read.*skip_corrupt=True"):
        read_folder(folder)
    with pytest.warns(UserWarning, match=r"2 of 11 files .*'cat/notes.txt' .*'dog/000.png'") as log:
        data = read_folder(folder, skip_corrupt=True)
    assert len(log) == 1
    paths = [*_paths(data.train), *_paths(data.validation)]
    assert len(paths) == 9
    assert not [path for path in paths if path.endswith(("notes.txt", "dog/000.png"))]


def test_whole_files_are_no_matter_for_a_warning(tmp_path, image_sets, recwarn):
    folder = image_sets.write_folder(tmp_path, {"cat": 3, "dog": 3})
    assert _paths(read_folder(folder, skip_corrupt=True).train) == _paths(read_folder(folder).train)
    assert not [entry for entry in recwarn if "left out" in str(entry.message)]


def test_a_class_of_corrupt_files_alone_is_empty(tmp_path, image_sets):
    for split in ("train", "val"):
        image_sets.write_folder(tmp_path / split, {"cat": 2, "dog": 2})
    for path in (tmp_path / "val" / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="none in 'validation/dog'"):
        read_folder(tmp_path, skip_corrupt=True)
