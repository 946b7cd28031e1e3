"""Lower layers learn more slowly, or not at all."""

import keras
import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training.layer_rates import freeze, layer_decay

TINY = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=3,
                               num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip


def test_rates_fall_from_the_head_to_the_patches():
    model = VisionTransformer(TINY)
    scales = layer_decay(model, 0.5)
    assert scales == {
        "patch_encoder": 1 / 16, "encoder_block_0": 1 / 8, "encoder_block_1": 1 / 4,
        "encoder_block_2": 1 / 2, "encoder_norm": 1, "head": 1,
    }  # fmt: skip
    model.compile("sgd", "mse", learning_rate_scales=scales)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="from 0 to 2"):
        freeze(VisionTransformer(TINY), "blocks:2-3")
    with pytest.raises(ValueError, match="Expected a Vision Transformer"):
        layer_decay(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), 0.5)
