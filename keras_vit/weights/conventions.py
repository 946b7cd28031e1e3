"""What no array of a checkpoint tells: `config.json` says it, else the layout's convention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_vit.images.spec import Preprocessing
from keras_vit.weights.binding import BoundCheckpoint
from keras_vit.weights.names import HF_DINOV2, HF_TOWER, HF_VIT

_GELUS = {
    "gelu": "erf",
    "gelu_python": "erf",
    "gelu_erf": "erf",
    "gelu_new": "tanh",
    "gelu_tanh": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
    "gelu_python_tanh": "tanh",
    "quick_gelu": "quick",
    "quickgelu": "quick",
}
# transformers leaves out of config.json what equals these defaults of its config classes.
_CLIP_DEFAULTS = {"num_attention_heads": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_SIGLIP_DEFAULTS = {
    "num_attention_heads": 12, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
_VIT_DEFAULTS = {"num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
_DINOV2_DEFAULTS = {"num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-6}

_GOOGLE = {
    "gelu": "tanh",
    "layer_norm_epsilon": 1e-6,
    "position_embedding_interpolation": "linear_align_corners",
}
_TIMM = {
    "gelu": "erf",
    "layer_norm_epsilon": 1e-6,
    "position_embedding_interpolation": "bicubic_antialias",
}
# The models of timm with another GELU than erf; the config.json of the hub says their name.
_TIMM_GELUS = {
    **dict.fromkeys(
        (
            "vit_base_patch32_siglip_256", "vit_base_patch32_siglip_gap_256",
            "vit_large_patch16_siglip_512", "vit_large_patch16_siglip_gap_512",
            "vit_so400m_patch16_siglip_256", "vit_so400m_patch16_siglip_gap_256",
            "vit_so400m_patch16_siglip_384", "vit_so400m_patch16_siglip_gap_384",
            "vit_so400m_patch16_siglip_512", "vit_so400m_patch16_siglip_gap_512",
            "vit_giantopt_patch16_siglip_256", "vit_giantopt_patch16_siglip_gap_256",
            "vit_giantopt_patch16_siglip_384", "vit_giantopt_patch16_siglip_gap_384",
        ),
        "tanh",
    ),
    **dict.fromkeys(
        (
            "vit_base_patch32_clip_quickgelu_224", "vit_base_patch16_clip_quickgelu_224",
            "vit_large_patch14_clip_quickgelu_224", "vit_large_patch14_clip_quickgelu_336",
            "vit_huge_patch14_clip_quickgelu_224", "vit_huge_patch14_clip_quickgelu_378",
            "vit_gigantic_patch14_clip_quickgelu_224",
        ),
        "quick",
    ),
}  # fmt: skip

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_CLIP = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}


def family(bound: BoundCheckpoint) -> str:
    """Names the family whose conventions hold.

    Returns:
        `"google"`, `"timm"`, `"timm_clip"`, or of Hugging Face `"vit"`, `"deit"`, `"dinov2"`,
        `"dinov2_with_registers"`, `"clip"` or `"siglip"`.
    """
    names = bound.shapes
    if bound.layout is HF_TOWER:
        return "clip" if "pre_norm/gamma" in names else "siglip"
    if bound.layout is HF_DINOV2:
        registers = "patch_encoder/register_tokens" in names
        return "dinov2_with_registers" if registers else "dinov2"
    if bound.layout is HF_VIT:
        return "deit" if "patch_encoder/distillation_token" in names else "vit"
    if bound.layout.name == "timm" and "pre_norm/gamma" in names:
        return "timm_clip"
    return bound.layout.name


def config_fields(bound: BoundCheckpoint) -> dict[str, Any]:
    """Returns the config fields that no array tells.

    Args:
        bound: a checkpoint whose layout is known.

    Returns:
        `gelu`, `layer_norm_epsilon`, `position_embedding_interpolation`, and where `config.json`
        tells them `num_heads` and `image_size` (of the stored position embedding).

    Raises:
        ValueError: a `config.json` that does not belong to the arrays, or an unknown activation.
    """
    kind = family(bound)
    if kind == "google":
        return dict(_GOOGLE)
    if kind in ("timm", "timm_clip"):
        return _timm_fields(bound, kind)
    defaults = {
        "vit": _VIT_DEFAULTS, "deit": _VIT_DEFAULTS, "clip": _CLIP_DEFAULTS,
        "siglip": _SIGLIP_DEFAULTS,
    }.get(kind, _DINOV2_DEFAULTS)  # fmt: skip
    interpolation = "bicubic_antialias" if kind == "dinov2_with_registers" else "bicubic"
    config = _own_config(bound.file.config)
    if not config:
        config = {key: value for key, value in defaults.items() if key != "num_attention_heads"}
        return _huggingface_fields(bound, config, interpolation)
    _check_belongs(bound, config)
    return _huggingface_fields(bound, {**defaults, **config}, interpolation)


def _own_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a transformers config that describes the image side, or nothing."""
    if "model_type" not in config:
        return {}
    vision = config.get("vision_config")
    return dict(vision) if isinstance(vision, Mapping) else dict(config)


def _huggingface_fields(bound, config: Mapping[str, Any], interpolation: str) -> dict[str, Any]:
    fields = {
        "gelu": _gelu(bound, config["hidden_act"]),
        "layer_norm_epsilon": float(config["layer_norm_eps"]),
        "position_embedding_interpolation": interpolation,
    }
    if "num_attention_heads" in config:
        fields["num_heads"] = int(config["num_attention_heads"])
    if "image_size" in config:
        fields["image_size"] = config["image_size"]
    return fields


def _check_belongs(bound: BoundCheckpoint, config: Mapping[str, Any]) -> None:
    bias = bound.shapes.get("encoder_norm/beta")
    hidden_size = config.get("hidden_size")
    if bias is not None and hidden_size is not None and tuple(bias) != (hidden_size,):
        raise ValueError(
            f"Expected the config.json beside {bound.file.path!r} to belong to it. Received: "
            f"hidden_size={hidden_size}, where the arrays have {bias[0]}. Move the file to "
            "a folder of its own."
        )


def _gelu(bound: BoundCheckpoint, activation: Any) -> str:
    if str(activation).lower() not in _GELUS:
        raise ValueError(
            f"Expected hidden_act in the config.json beside {bound.file.path!r} to be one of "
            f"{sorted(_GELUS)}. Received: {activation!r}. Pass `gelu=` where one of these is meant."
        )
    return _GELUS[str(activation).lower()]


def _timm_fields(bound: BoundCheckpoint, kind: str) -> dict[str, Any]:
    fields = dict(_TIMM)
    if kind == "timm_clip":
        fields["layer_norm_epsilon"] = 1e-5
    architecture = str(bound.file.config.get("architecture", ""))
    fields["gelu"] = _TIMM_GELUS.get(architecture, fields["gelu"])
    arguments = bound.file.config.get("model_args")
    activation = arguments.get("act_layer") if isinstance(arguments, Mapping) else None
    fields["gelu"] = _GELUS.get(str(activation).lower(), fields["gelu"])
    return fields


def preprocessing(bound: BoundCheckpoint, size: tuple[int, int], channels: int) -> Preprocessing:
    """Returns how the images of a checkpoint are prepared.

    Args:
        bound: a checkpoint whose layout is known.
        size: (height, width) in pixels that the model takes.
        channels: channels of the image.

    Returns:
        What timm's `pretrained_cfg` in `config.json` says, else the family's published values: mean
        and standard deviation of ImageNet for DeiT and DINOv2, CLIP's own for CLIP, else 0.5.
    """
    kind = family(bound)
    fields: dict[str, Any] = {"size": size}
    published = bound.file.config.get("pretrained_cfg")
    if kind.startswith("timm") and isinstance(published, Mapping):
        fields.update(_timm_preprocessing(published))
    elif kind in ("clip", "timm_clip"):
        fields.update(_CLIP, resampling="bicubic", resize="crop")
    elif kind == "dinov2" or kind == "dinov2_with_registers":
        fields.update(_IMAGENET, resampling="bicubic", resize="crop", crop_fraction=224 / 256)
    elif kind == "deit" or "patch_encoder/distillation_token" in bound.shapes:
        fields.update(_IMAGENET, resampling="bicubic", resize="crop", crop_fraction=224 / 256)
    elif kind == "siglip":
        fields.update(resampling="bicubic")
    elif kind == "timm":
        crop = {"resize": "crop", "crop_fraction": 0.9 if max(size) <= 256 else 1.0}
        scaled = "encoder_block_0/attention_scale/gamma" in bound.shapes  # DeiT-III and DINOv2
        fields.update(_IMAGENET if scaled else {}, resampling="bicubic", **crop)
    if channels != 3:
        half = (0.5,) * channels
        fields.update(mean=half, std=half)
    return Preprocessing(**fields)


def _timm_preprocessing(published: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key in ("mean", "std"):
        values = published.get(key)
        if isinstance(values, (list, tuple)) and len(values) == 3:
            fields[key] = tuple(values)
    if published.get("interpolation") in ("bilinear", "bicubic"):
        fields["resampling"] = published["interpolation"]
    squash = published.get("crop_mode") == "squash"
    fields["resize"] = "squash" if squash else "crop"
    crop = published.get("crop_pct")
    if not squash and isinstance(crop, (int, float)) and 0 < crop <= 1:
        fields["crop_fraction"] = float(crop)
    return fields
