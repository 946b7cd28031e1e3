"""An `ImageDataset` knows its splits and refuses to be none."""

import keras
import numpy as np
import pytest

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.dataset import ImageDataset
from keras_vit.images.spec import Preprocessing

GREY = Preprocessing(size=8, mean=(0.5,), std=(0.5,))


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


def _epoch(batches):
    """Returns the images of a pass, a row each, in their order."""
    return np.concatenate([images.numpy() for images, _ in batches]).reshape(-1, 64)


def test_each_epoch_of_batches_is_another_pass_in_full_batches(image_sets):
    data = image_sets.data_in_memory()
    batches = data.batches(GREY, 5)
    first, second = _epoch(batches), _epoch(batches)
    assert len(batches) == 4 and first.shape == (20, 64)
    for epoch in (first, second):
        assert len(np.unique(epoch, axis=0)) == 20
    assert (first != second).any()
    again = data.batches(GREY, 5)
    assert (_epoch(again) == first).all() and (_epoch(again) == second).all()
    assert (_epoch(data.batches(GREY, 5, seed=1)) != first).any()
    assert _epoch(data.batches(GREY)).shape == (24, 64)  # fewer than a batch


def test_random_changes_differ_from_epoch_to_epoch(image_sets):
    batches = image_sets.data_in_memory(train=2).batches(
        GREY, 2, augmentation=Augmentation(random_erasing=1, mixup_alpha=1, repeats=2)
    )
    epochs = [_epoch(batches) for _ in range(3)]
    assert all(len(epoch) == 4 for epoch in epochs)
    assert len(np.unique(np.concatenate(epochs), axis=0)) == 12


def test_batches_of_other_splits_are_whole_and_in_their_order(image_sets):
    batches = image_sets.data_in_memory().batches(GREY, 3, split="test")
    assert [len(labels) for _, labels in batches] == [3, 3, 2]
    labels = np.concatenate([labels.numpy() for _, labels in batches])
    assert (labels.argmax(-1) == np.arange(8) % 2).all() and (labels.sum(-1) == 1).all()


@pytest.mark.slow
def test_fit_takes_batches(image_sets):
    data = image_sets.data_in_memory()
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, "softmax"))
    model.compile("sgd", "categorical_crossentropy")
    history = model.fit(
        data.batches(GREY, 8),
        validation_data=data.batches(GREY, 8, split="test"),
        epochs=2,
        verbose=0,
    )
    assert len(history.history["val_loss"]) == 2 and model.optimizer.iterations == 6


def test_batches_that_cannot_be_are_refused(image_sets):
    data = image_sets.data_in_memory()
    with pytest.raises(ValueError, match=r"split=\"train\" alone"):
        data.batches(GREY, split="test", augmentation=Augmentation())
    with pytest.raises(ValueError, match="labels"):
        ImageDataset("d", (), data.train).batches(GREY)
