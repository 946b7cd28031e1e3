"""Weights counted without building all of the model."""

import pytest

from benchmarks.parameters import config_of, count_parameters
from keras_vit.benchmark.work import Work
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer

TINY = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=3, num_heads=2,
                               mlp_dim=16, num_classes=2)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 1},
        {"num_layers": 2, "dropout_rate": 0.1},
        {"mlp": "swiglu", "layer_scale": True, "qk_norm": True},
        {"pooling": "map", "class_token": False, "token_merging": (1, 0, 1)},
    ],
)
def test_the_count_is_that_of_the_whole_model(changes):
    config = TINY.replace(**changes)
    weights = VisionTransformer(config).trainable_variables
    assert count_parameters(config) == sum(weight.numpy().size for weight in weights)


def test_the_architecture_of_a_work():
    options = {"input_shape": [32, 48, 1], "num_layers": 2}
    config = config_of(Work("keras_vit", "ViT_S16", options=options))
    assert (config.image_size, config.in_channels, config.num_layers) == ((32, 48), 1, 2)
    assert config.hidden_size == 384
    with pytest.raises(ValueError, match="Received: 'depth'"):
        config_of(Work("keras_vit", "ViT_S16", options={"depth": 2}))
