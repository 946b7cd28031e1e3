"""A Vision Transformer is found inside a user's model, or the error says what to do."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.models.inside import find_vision_transformer

CONFIG = keras_vit.VisionTransformerConfig(
    image_size=16, patch_size=8, hidden_size=8, num_layers=1, num_heads=2, mlp_dim=8, num_classes=0
)


def test_one_of_ours_with_a_head_of_the_users_own():
    backbone = keras_vit.VisionTransformer(CONFIG)
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, keras.layers.Dense(3)(backbone(images)))
    assert find_vision_transformer(backbone) is backbone
    assert find_vision_transformer(model) is backbone
    outer = keras.Sequential([keras.Input((16, 16, 3)), model])
    assert find_vision_transformer(outer) is backbone


def test_what_carries_a_preparation_and_is_none_of_ours_is_an_error():
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    model.preprocessing = keras_vit.Preprocessing(size=16)
    with pytest.raises(ValueError, match="Expected a keras_vit.VisionTransformer.*Sequential"):
        find_vision_transformer(model)


def test_layers_that_lost_their_model_are_an_error_that_says_how_to_build():
    backbone = keras_vit.VisionTransformer(CONFIG)
    model = keras.Model(backbone.input, keras.layers.Dense(3)(backbone.output))
    with pytest.raises(ValueError, match=r"`backbone\(images\)`, not on `backbone.output`"):
        find_vision_transformer(model)
    with pytest.raises(ValueError, match=r"not on `backbone.output`"):
        keras_vit.interpret.attention_maps(model, np.zeros((1, 16, 16, 3), "float32"))
    with pytest.raises(ValueError, match="Expected a keras_vit.VisionTransformer.*Received"):
        find_vision_transformer(None)
