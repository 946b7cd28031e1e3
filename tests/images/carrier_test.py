"""A preparation is found inside another model, with what stands before it there."""

import keras
import numpy as np
import pytest

from keras_vit.images.carrier import before, find_carrier
from keras_vit.images.preprocessing import get_preprocessing
from keras_vit.images.spec import Preprocessing

PREPARED = Preprocessing((8, 8), mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.3))
NORMALIZATION = {"mean": [0.5, 0.4, 0.3], "variance": [0.25, 0.04, 0.09]}
PIXELS = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}
UNIT = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


def carrier(name="inner", sides=(8, 8)):
    model = keras.Sequential(
        [keras.Input((*sides, 3)), keras.layers.GlobalAveragePooling2D()], name=name
    )
    model.preprocessing = PREPARED
    return model


def lead(*layers, sides=(8, 8)):
    images = keras.Input((*sides, 3))
    x = images
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


def test_it_is_found_at_any_depth():
    inner = carrier()
    images = keras.Input((8, 8, 3))
    middle = keras.Model(images, keras.layers.Dense(2)(inner(images)), name="middle")
    outer = keras.Sequential([keras.Input((8, 8, 3)), middle, keras.layers.Dense(1)])
    assert find_carrier(inner) == [inner]
    assert find_carrier(outer) == [outer, middle, inner]
    assert get_preprocessing(outer) == PREPARED


def test_none_and_several_are_errors_that_say_what_to_pass():
    with pytest.raises(ValueError, match="Expected a keras_vit.VisionTransformer.*Received"):
        find_carrier(lead(keras.layers.Flatten()))
    images = keras.Input((8, 8, 3))
    both = keras.Model(images, carrier("one")(images) + carrier("two")(images))
    with pytest.raises(ValueError, match=r"`model.get_layer\('one'\)` or `model.get_layer\('two'"):
        get_preprocessing(both)


@pytest.mark.parametrize(
    ("layers", "changes"),
    [
        ([keras.layers.RandomFlip()], {}),
        ([keras.layers.Rescaling(1 / 255), keras.layers.Normalization(**NORMALIZATION)], PIXELS),
        ([keras.layers.Normalization(**NORMALIZATION)], UNIT),
        ([keras.layers.Rescaling(1 / 255)], PIXELS),
    ],
)
def test_layers_before_prepared_images_take_part(layers, changes):
    assert before(lead(*layers), PREPARED) == PREPARED.replace(**changes)


def test_a_resizing_before_prepared_images_gives_the_size():
    resizing = lead(keras.layers.Resizing(8, 8), sides=(20, 30))
    assert before(resizing, PREPARED) == PREPARED.replace(size=(20, 30))
    of_any_size = lead(keras.layers.Resizing(8, 8), sides=(None, None))
    assert before(of_any_size, PREPARED) == PREPARED


def test_grey_pictures_repeated_before_a_model_of_colours_stay_grey():
    images = keras.Input((8, 8, 1))
    repeated = keras.Model(images, keras.layers.Concatenate()([images] * 3))
    expected = Preprocessing((8, 8), mean=(0.0,), std=(1 / 255,))
    assert before(repeated, PREPARED) == expected


def test_what_stands_before_it_at_every_depth_counts():
    images = keras.Input((8, 8, 3))
    normalized = keras.layers.Normalization(**NORMALIZATION)(images)
    middle = keras.Model(images, carrier()(normalized))
    outer = keras.Model(images, middle(keras.layers.Rescaling(1 / 255)(images)))
    assert get_preprocessing(middle) == PREPARED.replace(**UNIT)
    assert get_preprocessing(outer) == PREPARED.replace(**PIXELS)
    assert np.prod(outer(np.ones((1, 8, 8, 3))).shape) == 3
