"""TFDS names and prepared folders become data sets; anything else is one error."""

import socket

import pytest

from keras_vit.data import tfds_source


def test_digits_have_both_splits_with_undecoded_images(digits_dir):
    data = tfds_source.read_digits(digits_dir)
    assert data.class_names == tuple("0123456789")
    assert list(data.splits) == ["train", "test"]
    reference = next(data.train.references().as_numpy_iterator())
    assert reference.keys() == {"image", "label"}
    assert reference["image"].startswith(b"\x89PNG")
    assert data.train.shuffle_buffer == data.train.num_examples == 1438


def test_the_order_of_a_split_is_fixed(digits_dir):
    split = tfds_source.read_digits(digits_dir).train
    first, second = (
        [reference["image"] for reference in split.references().take(50).as_numpy_iterator()]
        for _ in range(2)
    )
    assert first == second


def test_a_prepared_folder_takes_sub_splits(digits_dir):
    folder = digits_dir / "digits" / "1.0.0"
    assert tfds_source.is_prepared_folder(folder)
    assert not tfds_source.is_prepared_folder(digits_dir)
    splits = {"train": "train[:50%]", "validation": "train[50%:]"}
    data = tfds_source.read_prepared_folder(folder, splits)
    assert data.train.num_examples + data.validation.num_examples == 1438
    assert data.test is None


@pytest.mark.parametrize(
    "splits, message",
    [
        ({"train": "trian"}, "one of .*'train'.*Received: 'trian'"),
        ({"training": "train"}, "by role"),
        ({}, "by role"),
    ],
)
def test_splits_that_are_not_there_are_refused(digits_dir, splits, message):
    with pytest.raises(ValueError, match=message):
        tfds_source.read_prepared_folder(digits_dir / "digits" / "1.0.0", splits)


def test_an_unknown_name_comes_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="Received: 'photoss'. Nearest: 'photos'"):
        tfds_source.read_tfds("photoss", tmp_path)
    with pytest.raises(ValueError, match="Received: 'cifar11'. Nearest: .*'cifar10'"):
        tfds_source.read_tfds("cifar11", tmp_path)


def test_a_set_without_labelled_images_is_refused_before_the_download(tmp_path):
    with pytest.raises(ValueError, match="an Image feature .image..*imdb_reviews"):
        tfds_source.read_tfds("imdb_reviews", tmp_path)


def test_a_failed_download_says_where_the_files_belong(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def offline(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **options: [])
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(RuntimeError, match=f"'cifar10' in .*{tmp_path}.*no route to host"):
        tfds_source.read_tfds("cifar10", tmp_path)


def test_without_a_network_the_download_fails_at_once(tmp_path, monkeypatch):
    from tensorflow_datasets.core.download import downloader

    asked = []

    def no_address(host, port, *rest, **more):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    with pytest.raises(RuntimeError, match="'mnist' in .*No address is known of storage.goog"):
        tfds_source.read_tfds("mnist", tmp_path)
    assert len(asked) < 8  # not eleven times for each of four files
    assert downloader.MAX_RETRIES > 0


def test_a_lone_training_split_holds_out_its_end():
    assert tfds_source.default_splits({"train": 1}) == {
        "train": "train[:80%]",
        "validation": "train[80%:]",
    }
    assert tfds_source.default_splits({"test": 1, "train": 1, "extra": 1}) == {
        "train": "train",
        "test": "test",
    }


def _prepared(folder, key, feature, values):
    """Prepares a TFDS data set whose images have these values under a key."""
    import numpy as np
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                image = tfds.features.Image(shape=(4, 4, 1))
                features = tfds.features.FeaturesDict({"image": image, key: feature})
                return tfds.core.DatasetInfo(
                    builder=self, features=features, supervised_keys=("image", key)
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for number, value in enumerate(values):
                    yield number, {"image": np.full((4, 4, 1), number, np.uint8), key: value}

    builder = Tiny(data_dir=folder)
    builder.download_and_prepare()
    return tfds_source.read_prepared_folder(builder.data_dir, {"train": "train"})


def test_features_tell_labels_and_values(tmp_path):
    import numpy as np
    import tensorflow_datasets as tfds

    several = tfds.features.Sequence(tfds.features.ClassLabel(names=["sea", "sun", "sky"]))
    data = _prepared(tmp_path / "labels", "objects", several, [[0], [], [2, 1], [1, 1]])
    assert (data.task, data.class_names) == ("labels", ("sea", "sun", "sky"))
    expected = {(1, 0, 0), (0, 0, 0), (0, 1, 1), (0, 1, 0)}
    assert set(map(tuple, data.train.labels().astype(int).tolist())) == expected
    data = _prepared(tmp_path / "values", "age", tfds.features.Scalar(np.float32), [1.5, 2.0])
    assert (data.task, data.class_names) == ("regression", ("age",))
    assert sorted(data.train.labels().tolist()) == [[1.5], [2.0]]
