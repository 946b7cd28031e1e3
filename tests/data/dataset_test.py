"""An `ImageDataset` knows its splits and refuses to be none."""

import pytest

from keras_vit.data.dataset import ImageDataset


def test_splits_are_found_by_role(image_sets):
    data = image_sets.data_in_memory()
    assert list(data.splits) == ["train", "test"]
    assert data.split("test").num_examples == 8
    with pytest.raises(ValueError, match=r"'train', 'test'.*Received: 'validation'"):
        data.split("validation")


def test_validation_is_watched_before_test(image_sets):
    data = image_sets.data_in_memory()
    assert data.watched == "test"
    assert ImageDataset("d", ("a", "b"), data.train, data.test, data.test).watched == "validation"
    assert ImageDataset("d", ("a", "b"), data.train).watched is None


def test_the_description_has_name_and_counts(image_sets):
    text = image_sets.data_in_memory().describe()
    assert text == "easy: 2 classes, images: 24 train, 8 test"


def test_a_single_class_is_refused(image_sets):
    split = image_sets.data_in_memory().train
    with pytest.raises(ValueError, match="at least two classes"):
        ImageDataset("d", ("only",), split)
    assert ImageDataset("d", (), split).describe() == "d: no labels, images: 24 train"


def test_a_set_without_splits_is_refused():
    with pytest.raises(ValueError, match="at least one split"):
        ImageDataset("d", ("a", "b"))
