import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.layouts import NAMES, layout_for
from keras_vit.weights.layouts.dinov2 import mlp_ratio


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
        ("google", {"patch_norm": True}, "patch_norm"),
        ("timm", {"pre_logits_size": 8}, "pre_logits_size"),
        ("timm", {"position_embedding": "sincos2d"}, "position_embedding"),
        ("timm", {"patch_bias": False}, "patch_bias"),
        ("timm", {"pooling": "token+gap"}, "pooling"),
        ("huggingface", {"qk_norm": True}, "qk_norm"),
        ("huggingface", {"pooling": "gap"}, "pooling"),
        ("huggingface", {"mlp": "swiglu"}, "layer_scale"),
        ("huggingface", {"pre_norm": True}, "pooling"),
        ("huggingface", {"position_embedding_prefix_rows": 0}, "position_embedding_prefix_rows"),
    ],
)
def test_the_error_names_the_field(layout, changes, field):
    config = VisionTransformerConfig(
        image_size=16, patch_size=4, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=32
    ).replace(**changes)
    found = layout_for(layout, config).obstacles(config)
    assert any(line.startswith(f"{field}=") for line in found)


@pytest.mark.parametrize("layout", ["google", "huggingface"])
@pytest.mark.parametrize(
    "changes",
    [
        {"rotary": {"pairs": "neighbours"}}, {"norm": "rms"}, {"attention_output_bias": False},
        {"attention_inner_norm": True}, {"mlp_inner_norm": True}, {"final_norm": "none"},
        {"position_embedding": "none"},
        {"relative_position_bias": {"kind": "mlp", "hidden_size": 4}},
    ],
)  # fmt: skip
def test_what_a_layout_has_no_place_for_is_named(layout, changes):
    config = VARIANTS["ViT_B16"].replace(**changes)
    (field,) = changes
    found = layout_for(layout, config).obstacles(config)
    assert any(line.startswith(f"{field}=") for line in found)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"patch_norm": True}, "norm"),
        ({"patch_norm": True, "rotary": {}}, "patch_norm"),
        ({"mlp_bias": False}, "mlp_bias"),
        ({"rotary": {}}, "gelu"),
        ({"rotary": {"learned": True}, "gelu": "erf"}, "rotary"),
        ({"rotary": {"scale": "centred", "offset": 1}, "gelu": "erf"}, "rotary"),
        ({"rotary": {}, "gelu": "erf", "norm": "rms"}, "norm"),
        ({"rotary": {}, "gelu": "erf", "layer_norm_epsilon": 1e-5}, "layer_norm_epsilon"),
        ({"relative_position_bias": {}, "gelu": "erf"}, "relative_position_bias"),
        (
            {"relative_position_bias": {"kind": "mlp", "hidden_size": 4}, "gelu": "erf"},
            "position_embedding",
        ),
    ],
)
def test_what_a_class_of_timm_has_no_place_for_is_named(changes, field):
    config = VARIANTS["ViT_B16"].replace(**changes)
    found = layout_for("timm", config).obstacles(config)
    assert any(line.startswith(f"{field}=") for line in found)


@pytest.mark.parametrize("variant", ["ViT_B16", "R50_B16", "ViT_H14"])
def test_google_expresses_its_own_variants(variant):
    assert layout_for("google", VARIANTS[variant]).obstacles(VARIANTS[variant]) == []


@pytest.mark.parametrize("variant", ["ViT_B16", "DeiT_B16", "DeiT3_L16", "DINOv2_g14"])
def test_timm_expresses_its_own_variants(variant):
    assert layout_for("timm", VARIANTS[variant]).obstacles(VARIANTS[variant]) == []


@pytest.mark.parametrize(
    ("variant", "family"),
    [
        ("ViT_B16", "vit"), ("DINOv2_g14", "dinov2"), ("SigLIP_So400m14", "siglip_vision_model"),
        ("CLIP_L14", "clip_vision_model"), ("DINOv3_S16plus", "dinov3_vit"),
        ("SigLIP2_g16", "siglip_vision_model"),
    ],
)  # fmt: skip
def test_huggingface_expresses_its_own_variants(variant, family):
    layout = layout_for("huggingface", VARIANTS[variant])
    assert layout.family_for(VARIANTS[variant]).model_type == family
    assert layout.obstacles(VARIANTS[variant]) == []


def test_the_mlp_ratio_of_the_giant_is_4():
    assert mlp_ratio(VARIANTS["DINOv2_g14"]) == 4
    assert mlp_ratio(VARIANTS["DINOv2_B14"]) == 4


def test_every_variant_can_be_saved_in_some_layout():
    for name, config in VARIANTS.items():
        assert any(not layout_for(layout, config).obstacles(config) for layout in NAMES), name
