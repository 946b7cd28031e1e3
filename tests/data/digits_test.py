"""The digits are scikit-learn's, split as said, and TFDS files on disk."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def examples(digits_dir):
    """All examples by split, as the builder decodes them."""
    from keras_vit.data.digits import Digits

    builder = Digits(data_dir=digits_dir)
    return {
        split: list(builder.as_dataset(split=split).as_numpy_iterator())
        for split in ("train", "test")
    }


def test_every_image_is_in_one_split_with_the_pixels_of_scikit_learn(examples):
    from sklearn.datasets import load_digits

    source = load_digits()
    seen = [example for split in examples.values() for example in split]
    assert sorted(example["index"] for example in seen) == list(range(1797))
    for example in seen:
        index = example["index"]
        assert example["label"] == source.target[index]
        assert example["image"].dtype == np.uint8
        restored = example["image"][..., 0] * (16 / 255)
        np.testing.assert_array_equal(np.round(restored), source.images[index])


def test_the_split_is_stratified_and_fixed(examples):
    assert {split: len(held) for split, held in examples.items()} == {"train": 1438, "test": 359}
    counts = np.bincount([example["label"] for example in examples["test"]])
    assert counts.min() >= 35 and counts.max() <= 37
    indices = sorted(int(example["index"]) for example in examples["test"])
    assert indices[:5] == [3, 7, 13, 19, 36]


def test_the_files_are_those_of_tfds(digits_dir):
    names = {path.name for path in (digits_dir / "digits" / "1.0.0").iterdir()}
    assert "dataset_info.json" in names
    assert any(name.startswith("digits-train.tfrecord") for name in names)
