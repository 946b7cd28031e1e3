"""Which models a layout can express: a line for each field that it has no place for."""

from __future__ import annotations

from typing import Any

from keras_vit.models.config import HybridConfig, VisionTransformerConfig

_GOOGLE_HYBRID = HybridConfig()
_TIMM_HYBRID = HybridConfig(
    group_norm_epsilon=1e-5,
    weight_standardization="variance_plus_epsilon",
    weight_standardization_epsilon=1e-8,
)
_HYBRID_STYLE = (
    "group_norm_groups",
    "group_norm_epsilon",
    "weight_standardization",
    "weight_standardization_epsilon",
)


def huggingface_family(config: VisionTransformerConfig) -> str:
    """Returns the family of transformers that is nearest to a config: its `model_type`.

    Args:
        config: the architecture.
    """
    if config.pre_norm:
        return "clip_vision_model"
    if not config.class_token:
        return "siglip_vision_model"
    if config.num_register_tokens:
        return "dinov2_with_registers"
    if config.layer_scale or config.mlp == "swiglu" or config.pooling == "token+gap":
        return "dinov2"
    return "deit" if config.distillation_token else "vit"


def obstacles(config: VisionTransformerConfig, layout: str) -> list[str]:
    """Returns what a layout has no place for, as `field=value (what it needs)`.

    Args:
        config: the architecture.
        layout: `"google"`, `"timm"` or `"huggingface"`.

    Returns:
        One line a field; an empty list where the layout can express the model.
    """
    checks = {"google": _google, "timm": _timm, "huggingface": _huggingface}[layout](config)
    return [
        f"{field}={getattr(config, field)!r} ({need})" for field, fits, need in checks if not fits
    ]


def _hybrid_fits(hybrid: HybridConfig | None, style: HybridConfig) -> bool:
    return hybrid is None or all(getattr(hybrid, f) == getattr(style, f) for f in _HYBRID_STYLE)


def _google(config: VisionTransformerConfig) -> list[tuple[str, Any, str]]:
    pooled_class_token = config.pooling in ("token", "none")
    return [
        ("gelu", config.gelu == "tanh", "google-research uses tanh"),
        ("mlp", config.mlp == "gelu", "it has no gated MLP"),
        ("layer_norm_epsilon", config.layer_norm_epsilon == 1e-6, "1e-06 always"),
        ("patch_bias", config.patch_bias, "the patch embedding always has one"),
        ("qkv_bias", config.qkv_bias, "attention always has one"),
        ("distillation_token", not config.distillation_token, "there is none"),
        ("num_register_tokens", not config.num_register_tokens, "there are none"),
        ("layer_scale", not config.layer_scale, "there is none"),
        ("qk_norm", not config.qk_norm, "there is none"),
        ("pre_norm", not config.pre_norm, "there is none"),
        ("projection_size", config.projection_size is None, "there is none"),
        ("final_norm", config.final_norm == "tokens", "the norm acts on tokens"),
        (
            "pooling",
            config.pooling in ("token", "gap", "map", "none"),
            'only "token", "gap", "map" and "none"',
        ),
        (
            "class_token",
            pooled_class_token or not config.class_token,
            f"a class token is not used with pooling={config.pooling!r}",
        ),
        (
            "pre_logits_activation",
            config.pre_logits_size is None or config.pre_logits_activation == "tanh",
            "tanh always",
        ),
        ("hybrid", _hybrid_fits(config.hybrid, _GOOGLE_HYBRID), "with Google's norms and stds"),
    ]


def _timm(config: VisionTransformerConfig) -> list[tuple[str, Any, str]]:
    distilled = config.pooling == "token+distillation" and config.num_classes > 0
    rows = config.position_embedding_prefix_rows
    return [
        ("position_embedding", config.position_embedding == "learned", "learned always"),
        ("pre_logits_size", config.pre_logits_size is None, "there is no such layer"),
        ("projection_size", config.projection_size is None, "there is none"),
        ("pooling", config.pooling != "token+gap", "one pooled vector"),
        (
            "distillation_token",
            config.distillation_token == distilled,
            "a distilled model has two heads",
        ),
        ("patch_bias", config.patch_bias != config.pre_norm, "there is one without pre_norm only"),
        (
            "position_embedding_prefix_rows",
            rows in (0, config.num_prefix_tokens),
            "for all prefix tokens or none",
        ),
        ("hybrid", _hybrid_fits(config.hybrid, _TIMM_HYBRID), "with timm's norms and variances"),
    ]


def _huggingface(config: VisionTransformerConfig) -> list[tuple[str, Any, str]]:
    family = huggingface_family(config)
    dinov2, deit = family.startswith("dinov2"), family == "deit"
    clip, siglip = family == "clip_vision_model", family == "siglip_vision_model"
    tower = clip or siglip
    if siglip:
        poolings = ("map", "none")
    elif config.num_classes:
        poolings = ("token+gap",) if dinov2 else ("token",)
    else:
        poolings = ("token", "none")
    if deit and config.num_classes:
        poolings = ("token", "token+distillation")
    square = config.image_size[0] == config.image_size[1]
    tokens = int(config.class_token) + int(config.distillation_token)
    return [
        ("hybrid", config.hybrid is None, "there is none"),
        ("qk_norm", not config.qk_norm, "there is none"),
        ("position_embedding", config.position_embedding == "learned", "learned always"),
        ("final_norm", config.final_norm == "tokens", "the norm acts on tokens"),
        ("pooling", config.pooling in poolings, f"{family} takes {' or '.join(poolings)}"),
        ("num_classes", not (tower and config.num_classes), f"{family} has no head"),
        ("mlp", config.mlp == "gelu" or dinov2, f"{family} has no gated MLP"),
        ("mlp_dim", not dinov2 or mlp_ratio(config) is not None, "no ratio makes it"),
        ("layer_scale", config.layer_scale == dinov2, f"{family} decides it"),
        ("pre_norm", config.pre_norm == clip, f"{family} decides it"),
        ("class_token", config.class_token or siglip, f"{family} has one"),
        ("distillation_token", config.distillation_token == deit, f"{family} decides it"),
        (
            "num_register_tokens",
            not config.num_register_tokens or family == "dinov2_with_registers",
            f"{family} has none",
        ),
        ("patch_bias", config.patch_bias != clip, f"{family} decides it"),
        ("qkv_bias", config.qkv_bias or not tower, f"{family} has one"),
        (
            "position_embedding_prefix_rows",
            config.position_embedding_prefix_rows == tokens,
            f"{tokens} in {family}",
        ),
        (
            "pre_logits_size",
            config.pre_logits_size is None
            or (family in ("vit", "deit") and not config.num_classes and config.pooling == "token"),
            "only as the pooler of ViT or DeiT without a head",
        ),
        ("projection_size", config.projection_size is None or clip, f"{family} has none"),
        ("image_size", square or not tower, f"{family} takes squares"),
    ]


def mlp_ratio(config: VisionTransformerConfig) -> float | None:
    """Returns the `mlp_ratio` with which DINOv2 of transformers has this `mlp_dim`, or None.

    Args:
        config: the architecture. A gated MLP is two thirds as wide, rounded up to a multiple of 8.
    """
    hidden = config.hidden_size

    def width(ratio):
        full = int(hidden * ratio)
        return (int(full * 2 / 3) + 7) // 8 * 8 if config.mlp == "swiglu" else full

    exact = config.mlp_dim / hidden * (1.5 if config.mlp == "swiglu" else 1.0)
    for ratio in (round(exact), int(exact), exact):
        if ratio > 0 and width(ratio) == config.mlp_dim:
            return ratio
    return None
