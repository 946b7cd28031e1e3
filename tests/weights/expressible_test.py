import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.expressible import huggingface_family, mlp_ratio, obstacles


@pytest.mark.parametrize(
    ("layout", "changes", "field"),
    [
        ("google", {"gelu": "erf"}, "gelu"),
        ("google", {"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon"),
        ("google", {"layer_scale": True}, "layer_scale"),
        ("google", {"num_register_tokens": 2}, "num_register_tokens"),
        ("google", {"pooling": "max"}, "pooling"),
        ("google", {"pooling": "gap"}, "class_token"),
        ("google", {"qkv_bias": False}, "qkv_bias"),
        ("timm", {"pre_logits_size": 8}, "pre_logits_size"),
        ("timm", {"position_embedding": "sincos2d"}, "position_embedding"),
        ("timm", {"patch_bias": False}, "patch_bias"),
        ("timm", {"pooling": "token+gap"}, "pooling"),
        ("huggingface", {"qk_norm": True}, "qk_norm"),
        ("huggingface", {"pooling": "gap"}, "pooling"),
        ("huggingface", {"mlp": "swiglu"}, "layer_scale"),
        ("huggingface", {"pre_norm": True}, "num_classes"),
        ("huggingface", {"position_embedding_prefix_rows": 0}, "position_embedding_prefix_rows"),
    ],
)
def test_the_error_names_the_field(layout, changes, field):
    config = VisionTransformerConfig(
        image_size=16, patch_size=4, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=32
    ).replace(**changes)
    assert any(line.startswith(f"{field}=") for line in obstacles(config, layout))


@pytest.mark.parametrize("variant", ["ViT_B16", "R50_B16", "ViT_H14"])
def test_google_expresses_its_own_variants(variant):
    assert obstacles(VARIANTS[variant], "google") == []


@pytest.mark.parametrize("variant", ["ViT_B16", "DeiT_B16", "DeiT3_L16", "DINOv2_g14"])
def test_timm_expresses_its_own_variants(variant):
    assert obstacles(VARIANTS[variant], "timm") == []


@pytest.mark.parametrize(
    ("variant", "family"),
    [
        ("ViT_B16", "vit"), ("DINOv2_g14", "dinov2"), ("SigLIP_So400m14", "siglip_vision_model"),
        ("CLIP_L14", "clip_vision_model"),
    ],
)  # fmt: skip
def test_huggingface_expresses_its_own_variants(variant, family):
    assert huggingface_family(VARIANTS[variant]) == family
    assert obstacles(VARIANTS[variant], "huggingface") == []


def test_the_mlp_ratio_of_the_giant_is_4():
    assert mlp_ratio(VARIANTS["DINOv2_g14"]) == 4
    assert mlp_ratio(VARIANTS["DINOv2_B14"]) == 4


def test_variants_can_be_saved_in_some_layout():
    for name, config in VARIANTS.items():
        layouts = ("google", "timm", "huggingface")
        assert any(not obstacles(config, layout) for layout in layouts), name
