"""What measures ask of a model."""

import numpy as np
import pytest

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.interpret import observe

CONFIG = VisionTransformerConfig(
    image_size=(8, 12), patch_size=4, hidden_size=16, num_layers=3, num_heads=2, mlp_dim=24,
    num_classes=5,
)  # fmt: skip


def test_block_numbers_count_from_either_end():
    assert observe.block_numbers(CONFIG, None) == [0, 1, 2]
    assert observe.block_numbers(CONFIG, [-1, 0]) == [2, 0]


def test_batches_cover_all_images_in_order():
    pieces = list(observe.batches(np.arange(5), 2))
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2, 3], [4]]


def test_grid_is_that_of_the_images():
    assert observe.grid_of(CONFIG, np.zeros((1, 16, 4, 3))) == (4, 1)


def test_check_model_returns_the_config():
    model = VisionTransformer(CONFIG)
    assert observe.check_model(model) is model.config


@pytest.mark.parametrize("model", [None, "ViT_B16", CONFIG])
def test_what_is_no_model_is_an_error(model):
    with pytest.raises(ValueError, match=f"Received: {type(model).__name__}"):
        observe.check_model(model)
