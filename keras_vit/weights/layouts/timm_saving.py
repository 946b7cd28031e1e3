"""The `config.json` with which timm builds a model that is saved in its layout."""

import warnings
from collections.abc import Callable
from typing import Any

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig

_PLAIN, _CLIP = "vit_base_patch16_224", "vit_base_patch16_clip_224"
_GATED, _DISTILLED = "vit_giant_patch14_dinov2", "deit_base_distilled_patch16_224"
# By the units of the ResNet in front.
_HYBRIDS = {
    (): "vit_tiny_r_s16_p8_224",
    (2, 2, 2, 2): "vit_small_r26_s32_224",
    (3, 4, 9): "vit_base_r50_s16_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}
_EPSILONS = {_CLIP: 1e-5}  # 1e-6 for the others
_ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_tanh", "quick": "quick_gelu"}
_POOLINGS = {
    "token": "token", "token+distillation": "token", "gap": "avg", "max": "max",
    "avgmax": "avgmax", "map": "map",
    "none": "",
}  # fmt: skip


def write_timm_config(
    config: VisionTransformerConfig,
    preprocessing: Preprocessing,
    made_as: Callable[..., tuple[str | None, float, dict[str, Any]]],
) -> dict[str, Any]:
    """Returns the `config.json` that timm writes beside a model of this architecture.

    Args:
        config: the architecture; one that the layout can express.
        preprocessing: how its images are prepared.
        made_as: says of a config and timm's name of its pooling the architecture of timm, the
            epsilon of its norms, and the arguments that make it this model.

    Returns:
        The architecture and its arguments. Without `architecture` where timm has no name for the
        ResNet in front; `layer_norm_epsilon`, which timm does not read, is there where the
        architecture has another, and a warning says so.
    """
    pooling = _POOLINGS[config.pooling]
    architecture, epsilon, arguments = made_as(config, pooling)
    description: dict[str, Any] = {
        "num_classes": config.num_classes,
        "num_features": config.hidden_size,
        "global_pool": pooling,
        "model_args": arguments,
        "pretrained_cfg": _published(config, preprocessing),
    }
    if architecture is not None:
        description = {"architecture": architecture, **description}
    if config.layer_norm_epsilon != epsilon:
        description["layer_norm_epsilon"] = config.layer_norm_epsilon
        warnings.warn(
            f"timm has no argument for layer_norm_epsilon={config.layer_norm_epsilon}: the saved "
            f"model computes with {epsilon} there, and with its own here.",
            stacklevel=4,
        )
    return description


def vision_transformer(
    config: VisionTransformerConfig, pooling: str
) -> tuple[str | None, float, dict[str, Any]]:
    """Says as what of timm's Vision Transformers a model is made, see `write_timm_config`."""
    architecture = _architecture(config)
    rms = config.norm == "rms"
    return architecture, _EPSILONS.get(architecture, 1e-6), _arguments(config, pooling, rms)


def rounded_ratio(width: int, hidden_size: int) -> float:
    """Returns the ratio that timm, which rounds down, makes a width of again."""
    ratio = width / hidden_size
    return ratio if int(hidden_size * ratio) == width else (width + 0.5) / hidden_size


def _architecture(config: VisionTransformerConfig) -> str | None:
    if config.hybrid is not None:
        return _HYBRIDS.get(config.hybrid.units_per_stage)
    if config.pooling == "token+distillation":
        return _DISTILLED
    if config.mlp == "swiglu":
        return _GATED
    clip = config.layer_norm_epsilon == 1e-5 and config.norm == "layer"
    return _CLIP if clip else _PLAIN


def _arguments(config: VisionTransformerConfig, pooling: str, rms: bool) -> dict[str, Any]:
    """The arguments of timm's class; it drops what is null."""
    packed = config.mlp_dim * (2 if config.mlp == "swiglu" else 1)
    arguments = {
        "img_size": list(config.image_size),
        "patch_size": config.patch_size,
        "in_chans": config.in_channels,
        "num_classes": config.num_classes,
        "global_pool": pooling,
        "embed_dim": config.hidden_size,
        "depth": config.num_layers,
        "num_heads": config.num_heads,
        "mlp_ratio": rounded_ratio(packed, config.hidden_size),
        "qkv_bias": config.qkv_bias,
        "qk_norm": config.qk_norm,
        "class_token": config.class_token,
        "no_embed_class": config.num_prefix_tokens > 0
        and config.position_embedding_prefix_rows == 0,
        "reg_tokens": config.num_register_tokens,
        "pre_norm": config.pre_norm,
        "fc_norm": config.final_norm == "pooled",
        "pool_include_prefix": config.pooling_includes_prefix_tokens,
    }
    rare = {  # said where they are not as they mostly are
        "scale_attn_norm": (config.attention_inner_norm, False),
        "scale_mlp_norm": (config.mlp_inner_norm, False),
        "proj_bias": (config.attention_output_bias, True),
        "final_norm": (config.final_norm != "none", True),
        "pos_embed": ("none" if config.position_embedding == "none" else "learn", "learn"),
        "norm_layer": ("rmsnorm" if rms else None, None),
    }
    arguments.update({name: value for name, (value, usual) in rare.items() if value != usual})
    if config.layer_scale:
        arguments["init_values"] = config.layer_scale_init
    if config.mlp != "swiglu":
        arguments["act_layer"] = "relu" if config.mlp == "relu" else _ACTIVATIONS[config.gelu]
    return arguments


def _published(config: VisionTransformerConfig, preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        "input_size": [config.in_channels, *config.image_size],
        "fixed_input_size": True,
        "interpolation": preprocessing.resampling,
        "crop_pct": preprocessing.crop_fraction,
        "crop_mode": "squash" if preprocessing.resize == "squash" else "center",
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "num_classes": config.num_classes,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }
