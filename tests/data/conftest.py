"""Fixtures of the data room."""

import pytest


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """A TFDS folder in which our digits are prepared."""
    from keras_vit.data.tfds_source import read_digits

    folder = tmp_path_factory.mktemp("tfds")
    read_digits(folder)
    return folder
