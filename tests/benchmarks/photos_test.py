"""Photographs that packages ship."""

import sys

import numpy as np
from PIL import Image

import keras_vit
from benchmarks import photos


def test_photos_are_jpegs_of_usual_sizes_in_two_classes(tmp_path):
    photos.write_photos(tmp_path, 8)
    paths = sorted(tmp_path.glob("*/*.jpg"))
    assert len(paths) == 8 and {path.parent.name for path in paths} == {"a", "b"}
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "JPEG" and image.mode == "RGB"
            assert 500 <= max(image.size) <= 1000
            assert np.asarray(image).std() > 10


def test_photos_come_from_scikit_learn_where_scikit_image_is_missing(monkeypatch):
    everything = photos.real_photos()
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    assert [photo.shape for photo in photos.real_photos()] == [(427, 640, 3)] * 2
    assert all(photo.dtype == np.uint8 and photo.shape[2] == 3 for photo in everything)


def test_pictures_are_prepared_and_differ():
    config = keras_vit.VisionTransformerConfig(
        image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
    )  # fmt: skip
    model = keras_vit.VisionTransformer(config)
    images = photos.sample_pictures(model, 3)
    assert images.shape == (3, 16, 16, 3) and images.dtype == np.float32
    assert np.abs(images).max() <= 1 and not np.allclose(images[0], images[2])
    np.testing.assert_array_equal(images, photos.sample_pictures(model, 3))
