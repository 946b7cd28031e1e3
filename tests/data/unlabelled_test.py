"""A tree of images without labels is read at any depth, and split once and for all."""

import pytest

from keras_vit.data import load


def _paths(split):
    return [reference["image"].decode() for reference in split.references().as_numpy_iterator()]


def test_images_are_found_at_any_depth_and_split_by_a_fixed_seed(image_sets, tmp_path):
    image_sets.write_folder(tmp_path / "a" / "deep", {"x": 6})
    image_sets.write_folder(tmp_path, {"y": 4})
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "z.png").write_text("no image")
    data = load(tmp_path, labelled=False)
    assert data.class_names == () and data.watched == "validation"
    train, held_out = _paths(data.train), _paths(data.validation)
    assert (len(train), len(held_out)) == (8, 2)
    assert len({*train, *held_out}) == 10
    assert _paths(load(tmp_path, labelled=False).validation) == held_out


def test_folders_of_splits_are_the_splits(image_sets, tmp_path):
    for role, count in (("train", 3), ("validation", 2)):
        image_sets.write_folder(tmp_path / role, {"x": count})
    data = load(tmp_path, labelled=False)
    assert {role: split.num_examples for role, split in data.splits.items()} == {
        "train": 3, "validation": 2,
    }  # fmt: skip


def test_other_files_are_named_and_broken_ones_refused(image_sets, tmp_path):
    image_sets.write_folder(tmp_path, {"x": 3})
    (tmp_path / "x" / "notes.txt").write_text("of the photographer")
    with pytest.warns(UserWarning, match="1 files below .*passed over.*x/notes.txt"):
        load(tmp_path, labelled=False)
    (tmp_path / "x" / "notes.txt").rename(tmp_path / "x" / "notes.png")
    with pytest.raises(ValueError, match="x/notes.png"):
        load(tmp_path, labelled=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="Expected images below.*0 files"):
        load(tmp_path / "empty", labelled=False)
