"""What the `config.json` of timm, or the published name of a model, tells of it.

timm writes into `model_args` what differs from the architecture's own arguments; `architecture`
names the rest, of which only what no array tells stands here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import size_pair
from keras_vit.weights.layouts.activations import GELUS
from keras_vit.weights.layouts.stated import Stated

# Names of architectures that this package can build in part alone, and why; the first that fits.
_FOREIGN = (
    (r"rope_mixed", "rotary positions of learned frequencies"),
    (r"rope|dinov3|eva02|lingbot|vit_pe_", "rotary positions"),
    (r"sapiens", "rotary positions, grouped queries"),
    (r"s?relpos", "relative position bias"),
    (r"^beit(v2)?_", "relative position bias"),
    (r"_rpn_", "post-norm blocks"),
    (r"^cait_", "class attention"),
    (r"^convit_", "gated positional attention"),
    (r"^samvit_", "windowed attention with relative position bias"),
    (r"^beit3_", "norms inside attention and MLP"),
    (r"^aimv2_", "RMSNorm, SwiGLU of unpacked matrices and a norm in the patch embedding"),
    (r"^naflexvit_", "a linear patch embedding of any grid (NaFlex)"),
    (r"^eva_giant", "separate biases of query and value"),
    (r"_d(pwee|wee|little)_", "differential attention"),
    (r"_xp_|_pwee_|_\d+x2_", "parallel blocks"),
    (r"radio|intern300m", "no final norm"),
    (r"_mci_|resnet(26|50)d", "a stem with batch normalisation"),
    (r"^test_vit4$", "RMSNorm"),
)
# Heads by the word for the size in a name; the first that fits.
_HEADS = (
    (r"base_patch16_gap_224$", 16),
    (r"giant_patch14_(reg\d_)?(dinov2|tipsv2)", 24),
    (r"small_resnet", 8),
    (r"^test_vit3$", 3),
    (r"^test_vit2?$", 2),
    (r"_base_patch\d+_plus", 14),
    (r"_tiny", 3),
    (r"_(xsmall|wee)", 4),
    (r"_little", 5),
    (r"_small", 6),
    (r"_medium", 8),
    (r"_betwixt", 10),
    (r"_base", 12),
    (r"_so150m2", 13),
    (r"_so150m", 14),
    (r"_(large|huge|giant|gigantic|giantopt|so400m)", 16),
)
_KNOWN = r"(vit|deit|deit3|flexivit|eva_large|test_vit)\w*"
_TANH = (
    r"base_patch32_siglip|large_patch16_siglip(_gap)?_512|so400m_patch16_siglip"
    r"|giantopt_patch16_siglip"
)
_POOLINGS = {
    "token": "token", "avg": "gap", "max": "max", "avgmax": "avgmax", "map": "map", "": "none",
}  # fmt: skip
# Epsilons of the norms that timm makes by name.
_NORMS = dict.fromkeys(("layernorm", "layer_norm", "layernormfp32"), 1e-6)
# What a model of timm is trained with, or how it is made, and no output of it depends on.
_INERT = {
    "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate",
    "drop_path_rate", "weight_init", "fix_init", "init_values", "mlp_ratio", "dynamic_img_size",
    "strict_img_size", "num_classes", "no_embed_class", "pretrained", "pretrained_strict",
    "img_size", "fc_norm", "distilled_training", "device", "dtype", "head_init_scale", "bias",
}  # fmt: skip


def architecture_of(bound) -> str:
    """Returns the name that timm knows a model by, or "" where nothing tells it.

    It is what `config.json` says, else the published name that the file or its folder has.
    """
    config = Stated(bound.file.config, _where(bound))
    if "architecture" in config:
        return config.text("architecture")
    tower = Stated(
        open_clip_config(bound).get("vision_cfg", {}),
        f"vision_cfg of the open_clip_config.json beside {bound.file.path!r}",
    )
    if "timm_model_name" in tower:
        return tower.text("timm_model_name")
    path = os.path.abspath(bound.file.path)
    for name in (os.path.basename(path), os.path.basename(os.path.dirname(path))):
        found = re.match(r"[a-z]+\d?_\w*", name)
        if found and (_is_known(found[0]) or _foreign(found[0])):
            return found[0]
    return ""


def foreign_architecture(bound) -> list[str]:
    """Names what a published model has that this package does not, by its name."""
    architecture = architecture_of(bound)
    feature = _foreign(architecture)
    return [f"{feature} (architecture={architecture!r})"] if feature else []


def read_timm_config(bound, fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config fields that `config.json` or the published name tells.

    Args:
        bound: a checkpoint of timm.
        fields: those that shapes tell.
        given: those that the user says.

    Raises:
        ValueError: a value that no field expresses, one of a wrong type, or one that does not
            belong to the arrays.
    """
    told = _architecture_fields(architecture_of(bound), fields)
    config = Stated(bound.file.config, _where(bound), given)
    arguments = model_arguments(bound, given)
    _check_arguments(config, arguments, fields)
    told.update(_argument_fields(config, arguments, fields))
    return told


def model_arguments(bound, given: Mapping[str, Any] | None = None) -> Stated:
    """Returns the `model_args` of a `config.json`, or nothing."""
    values = bound.file.config.get("model_args") or {}
    return Stated(values, f"model_args of {_where(bound)}", given)


def open_clip_config(bound) -> Mapping[str, Any]:
    """Returns the `model_cfg` of an `open_clip_config.json` beside the file, or nothing."""
    config = bound.file.beside("open_clip_config.json").get("model_cfg")
    return config if isinstance(config, Mapping) else {}


def _published(bound) -> Stated:
    values = bound.file.config.get("pretrained_cfg") or {}
    return Stated(values, f"pretrained_cfg of {_where(bound)}")


def published_size(bound) -> tuple[int, int] | None:
    """Returns the (height, width) of the images that `pretrained_cfg` speaks of, or None."""
    published = _published(bound)
    size = published.values.get("input_size")
    if size is None:
        return None
    if not isinstance(size, (list, tuple)) or len(size) != 3:
        raise published.refusal("input_size", "channels, height and width")
    return size_pair("input_size", size[1:])


def read_published_preprocessing(bound) -> dict[str, Any] | None:
    """Returns the fields of `Preprocessing` that `pretrained_cfg` tells, or None without it.

    What no field expresses is named in a warning.
    """
    published = _published(bound)
    if not published.values:
        return None
    fields: dict[str, Any] = {}
    for key in ("mean", "std"):
        if key in published:
            fields[key] = published.numbers(key, ())
    resampling = published.text("interpolation", "bicubic")
    if resampling in ("bilinear", "bicubic"):
        fields["resampling"] = resampling
    else:
        bound.guess(f"images are not resampled as timm would: interpolation={resampling!r}")
    mode = published.text("crop_mode", "center")
    if mode not in ("center", "squash"):
        bound.guess(f"images are cropped otherwise than timm would: crop_mode={mode!r}")
    fields["resize"] = "squash" if mode == "squash" else "crop"
    fraction = published.number("crop_pct", 0.875)
    if fraction > 1:
        bound.guess(f"images are not padded as timm would: crop_pct={fraction}")
    return {**fields, "crop_fraction": min(fraction, 1.0)}


def _where(bound) -> str:
    return f"the config.json beside {bound.file.path!r}"


def _is_known(architecture: str) -> bool:
    heads = any(re.search(pattern, architecture) for pattern, _ in _HEADS)
    return heads and re.fullmatch(_KNOWN, architecture) is not None


def _foreign(architecture: str) -> str | None:
    return next((what for pattern, what in _FOREIGN if re.search(pattern, architecture)), None)


def _architecture_fields(architecture: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if not _is_known(architecture):
        return told
    told["num_heads"] = next(n for pattern, n in _HEADS if re.search(pattern, architecture))
    told["layer_norm_epsilon"] = 1e-5 if "_clip_" in architecture else 1e-6
    if fields["mlp"] == "gelu":
        tanh = re.search(_TANH, architecture) is not None
        told["gelu"] = "quick" if "quickgelu" in architecture else "tanh" if tanh else "erf"
    if architecture == "test_vit3":
        told["pooling_includes_prefix_tokens"] = True
    return told


def _check_arguments(config: Stated, arguments: Stated, fields: Mapping[str, Any]) -> None:
    """Refuses arguments of a wrong kind, of another file, or that no field expresses."""
    for name, field in (
        ("embed_dim", "hidden_size"), ("depth", "num_layers"), ("in_chans", "in_channels"),
    ):  # fmt: skip
        arguments.integer(name)
        arguments.agree(name, fields[field], field)
    arguments.integer("reg_tokens", minimum=0)
    arguments.agree("reg_tokens", fields["num_register_tokens"], "num_register_tokens")
    for name in ("class_token", "qkv_bias", "qk_norm", "pre_norm"):
        arguments.flag(name)
        arguments.agree(name, fields[name], name)
    if arguments.size("patch_size") not in (None, (fields["patch_size"],) * 2):
        arguments.agree("patch_size", fields["patch_size"], "patch_size")
    for stated in (config, arguments):
        stated.integer("num_classes", minimum=0)
        stated.agree("num_classes", fields["num_classes"], "num_classes")
    arguments.must_be("scale_attn_norm", False, "norm inside attention")
    arguments.must_be("scale_mlp_norm", False, "norm inside the MLP")
    arguments.must_be("proj_bias", True, "attention without a bias of its output")
    arguments.must_be("final_norm", True, "model without a final norm")
    arguments.must_be("pos_embed", "learn", "model without a position embedding")
    arguments.must_be("dynamic_img_pad", False, "padding of images to whole patches")
    read = {
        "embed_dim", "depth", "in_chans", "reg_tokens", "class_token", "qkv_bias", "qk_norm",
        "pre_norm", "patch_size", "scale_attn_norm", "scale_mlp_norm", "proj_bias", "final_norm",
        "pos_embed", "dynamic_img_pad", "norm_layer", "num_heads", "act_layer", "global_pool",
        "pool_include_prefix",
    }  # fmt: skip
    for name in arguments.values:
        if name not in read | _INERT:
            raise arguments.refusal(name, "absent, since this package does not know it")


def _argument_fields(
    config: Stated, arguments: Stated, fields: Mapping[str, Any]
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if "layer_norm_epsilon" in config:  # ours, for what timm has no argument for
        told["layer_norm_epsilon"] = config.number("layer_norm_epsilon")
    heads = arguments.integer("num_heads")
    if heads is not None:
        told["num_heads"] = heads
    if fields["mlp"] == "gelu" and "act_layer" in arguments:
        told["gelu"] = arguments.choice("act_layer", GELUS, None)
    if "norm_layer" in arguments:
        told["layer_norm_epsilon"] = arguments.choice("norm_layer", _NORMS, None)
    if "pool_include_prefix" in arguments:
        told["pooling_includes_prefix_tokens"] = arguments.flag("pool_include_prefix")
    stated = arguments if "global_pool" in arguments else config
    pooling = stated.choice("global_pool", _POOLINGS, None)
    if pooling == "none" and fields["num_classes"]:
        raise stated.refusal("global_pool", "a kind of pooling, as there is a head")
    if pooling == "token" and fields.get("pooling") == "token+distillation":
        pooling = None  # the two tokens of a distilled model
    if pooling is not None:
        if (pooling == "map") != (fields.get("pooling") == "map"):
            raise stated.refusal("global_pool", "the pooling that the arrays have")
        told["pooling"] = pooling
    return told
