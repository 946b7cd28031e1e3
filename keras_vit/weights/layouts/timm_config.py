"""What the `config.json` of timm, or the published name of a model, tells of it.

timm writes into `model_args` what differs from the architecture's own arguments; `architecture`
names the rest, of which `timm_architectures` has what no array tells.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import size_pair
from keras_vit.models.rotary_config import AUGMENTED, RotaryConfig
from keras_vit.weights.layouts.activations import GELUS
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.stated import Stated
from keras_vit.weights.layouts.timm_architectures import (
    foreign_feature,
    is_known,
    published_arguments,
)

_BLOCK_0 = "encoder_block_0"

_POOLINGS = {
    "token": "token", "avg": "gap", "max": "max", "avgmax": "avgmax", "map": "map", "": "none",
}  # fmt: skip
# Kinds of the norms that timm makes by name; their epsilon is 1e-6.
_NORMS = {
    **dict.fromkeys(("layernorm", "layer_norm", "layernormfp32"), "layer"),
    **dict.fromkeys(("rmsnorm", "rms_norm", "rmsnormfp32"), "rms"),
}
# Arguments of timm's classes that arrays tell too, and the field.
_TOLD = {
    "embed_dim": "hidden_size", "depth": "num_layers", "in_chans": "in_channels",
    "reg_tokens": "num_register_tokens", "num_reg_tokens": "num_register_tokens",
    "num_classes": "num_classes", "class_token": "class_token", "qkv_bias": "qkv_bias",
    "qk_norm": "qk_norm", "pre_norm": "pre_norm", "use_pre_transformer_norm": "pre_norm",
    "scale_attn_norm": "attention_inner_norm", "scale_attn_inner": "attention_inner_norm",
    "scale_mlp_norm": "mlp_inner_norm", "scale_mlp": "mlp_inner_norm",
    "proj_bias": "attention_output_bias",
}  # fmt: skip
# Those that can be one thing alone, and what another would be.
_FIXED = {
    "dynamic_img_pad": (False, "padding of images to whole patches"),
    "use_post_norm": (False, "post-norm blocks"),
    "attn_only_layer_scale": (False, "scale of one branch alone"),
}
# Those that are read further down.
_READ = {
    "patch_size", "pos_embed", "use_abs_pos_emb", "final_norm", "norm_layer", "num_heads",
    "act_layer", "global_pool", "pool_include_prefix", "use_rot_pos_emb", "rope_type",
    "rope_grid_offset", "rope_grid_indexing", "rope_temperature", "rope_rotate_half",
    "ref_feat_shape", "attn_pool_num_heads", "use_post_transformer_norm", "use_fc_norm",
    "rel_pos_type", "pos_embed_interp_mode", "pos_embed_antialias", "pos_embed_align_corners",
    "pos_embed_ar_preserving", "rope_shift_coords", "rope_jitter_coords", "rope_rescale_coords",
}  # fmt: skip
# What a model of timm is trained with, or how it is made, and no output of it depends on.
_INERT = {
    "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate",
    "drop_path_rate", "weight_init", "fix_init", "init_values", "mlp_ratio", "dynamic_img_size",
    "strict_img_size", "num_classes", "no_embed_class", "pretrained", "pretrained_strict",
    "img_size", "fc_norm", "distilled_training", "device", "dtype", "head_init_scale", "bias",
    "qkv_fused", "swiglu_mlp", "swiglu_align_to", "attn_type", "attn_pool_mlp_ratio",
    "use_rel_pos_bias", "use_shared_rel_pos_bias", "rel_pos_dim", "shared_rel_pos",
    "pos_embed_grid_size",
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
        found = re.match(r"[a-z]+\d*_\w*", name)
        if found and (is_known(found[0]) or foreign_feature(found[0])):
            return found[0]
    return ""


def foreign_architecture(bound) -> list[str]:
    """Names what a published model has that this package does not, by its name."""
    architecture = architecture_of(bound)
    feature = foreign_feature(architecture)
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
    config = Stated(bound.file.config, _where(bound), given)
    arguments = model_arguments(bound, given)
    _check_arguments(config, arguments, fields)
    options = _options(bound, config, arguments)
    told: dict[str, Any] = {}
    for name, field in (
        ("num_heads", "num_heads"), ("attn_pool_num_heads", "pooling_num_heads"),
    ):  # fmt: skip
        if name in options:
            told[field] = options.integer(name)
    if fields["mlp"] == "gelu" and "act_layer" in options:
        activation = options.choice("act_layer", {**GELUS, "relu": "relu"}, None)
        told["mlp" if activation == "relu" else "gelu"] = activation
    if "pool_include_prefix" in options:
        told["pooling_includes_prefix_tokens"] = options.flag("pool_include_prefix")
    told.update(_norms(bound, options, arguments))
    told.update(_pooling(options, fields))
    told.update(_interpolation(bound, options))
    told.update(_positions(bound, options, fields))
    return told


def _options(bound, config: Stated, arguments: Stated) -> Stated:
    """All arguments that are told: of the architecture, of this model."""
    pooling = {"global_pool": config.values["global_pool"]} if "global_pool" in config else {}
    published = published_arguments(architecture_of(bound))
    if f"{bound.prefix}rope_embed.periods" in bound.file.specs:  # DINOv3's authors
        published = {**published_arguments("vit_base_patch16_dinov3"), "global_pool": "token"}
        del published["num_heads"]
    if "attn_pool_num_heads" in published and "pooling/probe" not in bound.shapes:
        for name in ("attn_pool_num_heads", "pool_include_prefix"):  # of its attention pooling
            del published[name]
    if "layer_norm_epsilon" in config:  # ours, for what timm has no argument for
        published["norm_epsilon"] = config.number("layer_norm_epsilon")
    elif "norm_layer" in arguments:
        published["norm_epsilon"] = 1e-6
    values = {**published, **pooling, **arguments.values}
    return Stated(values, arguments.where, arguments.given)


def _norms(bound, options: Stated, arguments: Stated) -> dict[str, Any]:
    """Kind and epsilon of the norms, and whether there is a last one."""
    told: dict[str, Any] = {}
    if "norm_epsilon" in options:
        told["layer_norm_epsilon"] = options.number("norm_epsilon")
    if "norm_layer" in options:
        told["norm"] = options.choice("norm_layer", _NORMS, None)
        shifted = f"{_BLOCK_0}/attention_norm/beta" in bound.shapes
        if shifted != (told["norm"] == "layer"):
            raise options.refusal("norm_layer", "the kind of norm that the arrays have")
    last = options.flag("final_norm", True) and (
        options.flag("use_post_transformer_norm", True) or options.flag("use_fc_norm", True)
    )
    if not last and "encoder_norm/gamma" not in bound.shapes:
        told["final_norm"] = "none"
    elif not options.flag("final_norm", True):
        raise options.refusal("final_norm", "true, since the arrays have it")
    return told


def _positions(bound, options: Stated, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary positions, and whether a table stands beside them or beside a relative bias."""
    options.choice("rel_pos_type", {"mlp": "mlp", "bias": "table"}, None)
    told: dict[str, Any] = {}
    learned = f"{_BLOCK_0}/attention/rotary/frequencies" in bound.shapes
    if options.flag("use_rot_pos_emb", learned):
        told["rotary"] = _rotary(options, learned)
    stored = POSITIONS in bound.shapes
    if not options.flag("use_abs_pos_emb", True) or options.text("pos_embed", "learn") == "none":
        if stored:
            raise options.refusal("pos_embed", "learned, since the arrays have it")
        told["position_embedding"] = "none"
    elif not stored and (told or fields["relative_position_bias"] is not None):
        told["position_embedding"] = "none"
    return told


def _interpolation(bound, options: Stated) -> dict[str, Any]:
    """How stored positions are resized; NaFlexViT has other ways than the rest."""
    modes = {"bicubic": "bicubic", "bilinear": "linear"}
    kind = options.choice("pos_embed_interp_mode", modes, "bicubic")
    if options.flag("pos_embed_align_corners", False):
        kind += "_align_corners"
    elif options.flag("pos_embed_antialias", True):
        kind += "_antialias"
    size = options.given.get("image_size") or bound.layout.stated_size(bound) or 1
    if options.flag("pos_embed_ar_preserving", False) and len(set(size_pair("size", size))) > 1:
        raise options.refusal("pos_embed_ar_preserving", "false where images are not square")
    return {"position_embedding_interpolation": kind}


def _rotary(options: Stated, learned: bool) -> RotaryConfig:
    kind = options.choice(
        "rope_type", {"cat": "index", "dinov3": "centred", "mixed": "mixed"},
        "mixed" if learned else "index",
    )  # fmt: skip
    if (kind == "mixed") != learned:
        raise options.refusal("rope_type", "the kind that the arrays have")
    orders = {"ij": "yx", "xy": "xy"}  # all published models that learn have the column first
    order = options.choice("rope_grid_indexing", orders, "xy" if learned else "yx")
    offset = options.values.get("rope_grid_offset") and options.number("rope_grid_offset")
    if kind == "mixed" and order != "xy":
        raise options.refusal("rope_grid_indexing", "'xy' with learned frequencies")
    if kind == "centred":
        options.must_be("rope_grid_offset", 0, "offset of centred positions")
    return RotaryConfig(
        base=options.number("rope_temperature", 10000.0),
        scale="centred" if kind == "centred" else "index",
        offset=offset or 0.0,
        reference_grid=options.size("ref_feat_shape") if kind == "index" else None,
        pairs="halves" if options.flag("rope_rotate_half", False) else "neighbours",
        order=order,
        learned=learned,
        **{name: options.number_or_none(f"rope_{name}_coords") for name in AUGMENTED},
    )


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


def _check_arguments(config: Stated, arguments: Stated, fields: Mapping[str, Any]) -> None:
    """Refuses arguments of a wrong kind, of another file, or that no field expresses."""
    for name, field in _TOLD.items():
        if isinstance(fields[field], bool):
            arguments.flag(name)
        else:
            arguments.integer(name, minimum=0)
        arguments.agree(name, fields[field], field)
    if arguments.size("patch_size") not in (None, (fields["patch_size"],) * 2):
        arguments.agree("patch_size", fields["patch_size"], "patch_size")
    config.integer("num_classes", minimum=0)
    config.agree("num_classes", fields["num_classes"], "num_classes")
    for name, (value, feature) in _FIXED.items():
        arguments.must_be(name, value, feature)
    for name in arguments.values:
        if name not in _TOLD.keys() | _FIXED.keys() | _READ | _INERT:
            raise arguments.refusal(name, "absent, since this package does not know it")


def _pooling(options: Stated, fields: Mapping[str, Any]) -> dict[str, Any]:
    pooling = options.choice("global_pool", _POOLINGS, None)
    if pooling == "none" and fields["num_classes"]:
        raise options.refusal("global_pool", "a kind of pooling, as there is a head")
    if pooling is None or (pooling == "token" and fields.get("pooling") == "token+distillation"):
        return {}  # the two tokens of a distilled model
    if (pooling == "map") != (fields.get("pooling") == "map"):
        raise options.refusal("global_pool", "the pooling that the arrays have")
    return {"pooling": pooling}
