"""The baselines are scored on the same split, on pixels, or left out."""

import dataclasses

import pytest

from keras_vit.evaluation.pixel_baselines import score_pixel_baselines
from keras_vit.images.spec import Preprocessing

GREY = Preprocessing(size=64, mean=(0.5,), std=(0.5,))
NAMES = {"3-NN on pixels", "RBF SVM on pixels"}


def test_easy_images_are_told_apart(image_sets):
    scores = score_pixel_baselines(image_sets.data_in_memory(), "test", GREY)
    assert scores == dict.fromkeys(NAMES, 1.0)


@pytest.mark.slow
def test_hard_images_are_not(image_sets):
    data = image_sets.data_in_memory(train=20, test=20)
    labels = [index // 10 for index in range(20)]  # says nothing about the images
    images = [image_sets.picture(0, index, channels=1) for index in range(20)]
    data = dataclasses.replace(data, test=image_sets.split_in_memory(images, labels))
    assert set(score_pixel_baselines(data, "test", GREY).values()) == {0.5}


def test_they_are_left_out_where_they_mean_nothing(image_sets):
    data = image_sets.data_in_memory()
    assert score_pixel_baselines(data, "train", GREY) == {}
    assert score_pixel_baselines(dataclasses.replace(data, train=None), "test", GREY) == {}
    many = dataclasses.replace(data.train, num_examples=10_001)
    assert score_pixel_baselines(dataclasses.replace(data, train=many), "test", GREY) == {}
