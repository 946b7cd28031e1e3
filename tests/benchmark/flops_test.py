"""The arithmetic of a model."""

import pytest

from keras_vit import configs, variants
from keras_vit.benchmark import forward_flops


@pytest.mark.parametrize(
    ("name", "gflop"), [("ViT_B16", 35.1), ("ViT_S16", 9.2), ("ViT_L16", 123.1)]
)
def test_known_models(name, gflop):
    assert forward_flops(variants.get_variant(name)) / 1e9 == pytest.approx(gflop, rel=0.01)


def test_a_small_model_counted_by_hand():
    config = configs.VisionTransformerConfig(
        image_size=4, patch_size=2, hidden_size=8, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=3,
    )  # fmt: skip
    patches, tokens = 4 * 12 * 8, 5
    block = tokens * 8 * (3 * 8 + 8 + 16 + 16) + 2 * tokens * tokens * 8
    assert forward_flops(config) == 2 * (patches + block + 8 * 3)
