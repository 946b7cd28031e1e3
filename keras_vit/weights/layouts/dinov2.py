"""DINOv2 of transformers, with registers or without; TIPS and Pixio."""

import dataclasses

import numpy as np

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.timm import TIMM
from keras_vit.weights.layouts.transformers import (
    EMBEDDINGS,
    IGNORED,
    Family,
    TransformersLayout,
    attention_rows,
)
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER, _V5_LAYER = "encoder.layer.{i}", "layers.{i}"
_DINOV2 = Family(
    "dinov2",
    "Dinov2Model",
    "Dinov2ForImageClassification",
    "dinov2.",
    epsilon=1e-6,
    preprocessing={
        **STATISTICS["imagenet"],
        "resampling": "bicubic",
        "resize": "crop",
        "crop_fraction": 224 / 256,
    },
)
_WITH_REGISTERS = dataclasses.replace(
    _DINOV2,
    model_type="dinov2_with_registers",
    model="Dinov2WithRegistersModel",
    classifier="Dinov2WithRegistersForImageClassification",
    prefix="dinov2_with_registers.",
    interpolation="bicubic_antialias",
)


class Dinov2Layout(TransformersLayout):
    """`Dinov2Model`, `Dinov2WithRegistersModel` and the same with a head."""

    signature = "embeddings.patch_embeddings.projection.weight"
    mask = "embeddings.mask_token"  # never read, but models of transformers have it
    prefixes = ("dinov2_with_registers.", "dinov2.", "")
    families = (_DINOV2, _WITH_REGISTERS)
    published = (r"\.attention\.attention\.", r"\.attention\.output\.", r"\.weights_")
    rows = (
        *EMBEDDINGS,
        *torch_norm(f"{_LAYER}.norm1", f"{BLOCK}/attention_norm"),
        *attention_rows(_LAYER, _LAYER),
        row(f"{_LAYER}.layer_scale1.lambda1", f"{BLOCK}/attention_scale/gamma"),
        *torch_norm(f"{_LAYER}.norm2", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *linear(f"{_LAYER}.mlp.weights_in", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.weights_out", f"{BLOCK}/mlp/output"),
        *linear([f"{_LAYER}.mlp.{p}_proj" for p in ("gate", "up")], f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.down_proj", f"{BLOCK}/mlp/output"),
        row(f"{_LAYER}.layer_scale2.lambda1", f"{BLOCK}/mlp_scale/gamma"),
        *torch_norm("layernorm", "encoder_norm"),
        *linear("classifier", "head"),
    )
    lacks = ("distillation_token", "pre_logits_size", "projection_size")

    def family_by_shapes(self, bound):
        registers = "patch_encoder/register_tokens" in bound.shapes
        return _WITH_REGISTERS if registers else _DINOV2

    def family_for(self, config):
        return _WITH_REGISTERS if config.num_register_tokens else _DINOV2

    def suits(self, config):
        gated = config.mlp == "swiglu" or config.pooling == "token+gap"
        return bool(config.num_register_tokens or config.layer_scale or gated)

    def poolings(self, config):
        return ("token+gap",) if config.num_classes else ("token", "none")

    def family_checks(self, config, family):
        return [
            ("mlp_dim", mlp_ratio(config) is not None, "no ratio makes it"),
            ("class_token", config.class_token, f"{family} always has one"),
            ("layer_scale", config.layer_scale, f"{family} always has it"),
        ]

    def avoided(self, config):
        return (r"\.mlp\.fc",) if config.mlp == "swiglu" else (r"\.mlp\.weights_",)

    def full_name(self, name, config):
        outside = name.startswith("classifier.") or not config.num_classes
        return name if outside else self.family_for(config).prefix + name

    def write_arrays(self, values, config):
        arrays = super().write_arrays(values, config)
        if config.num_register_tokens:
            mask = self.full_name(self.mask, config)
            arrays[mask] = np.zeros((1, config.hidden_size), "float32")
        return arrays

    def family_config(self, config):
        registers = {"num_register_tokens": config.num_register_tokens}
        return {
            "mlp_ratio": mlp_ratio(config),
            "use_swiglu_ffn": config.mlp == "swiglu",
            "layerscale_value": 1.0,
            "qkv_bias": config.qkv_bias,
            **(registers if config.num_register_tokens else {"use_mask_token": False}),
        }


def mlp_ratio(config) -> float | None:
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


class TipsLayout(Dinov2Layout):
    """`Tipsv2VisionModel`, whose names are timm's; its second class token is a register here."""

    signature = TIMM.signature
    mask = "mask_token"
    prefixes = ("vision_encoder.", "")
    families = (
        Family(
            "tipsv2_vision_model",
            "Tipsv2VisionModel",
            "",
            "",
            epsilon=1e-6,
            interpolation="linear_antialias",
            preprocessing={"mean": (0.0,) * 3, "std": (1.0,) * 3},
        ),
    )
    rows = (
        *TIMM.rows,
        *linear("blocks.{i}.mlp.c_fc", f"{BLOCK}/mlp/hidden"),
        *linear("blocks.{i}.mlp.c_proj", f"{BLOCK}/mlp/output"),
    )
    ignored = (*IGNORED, r"text_encoder\..*", "temperature|logit_scale")
    inert = ("intermediate_size",)

    def family_by_shapes(self, bound):
        return self.families[0]

    def family_for(self, config):
        return self.families[0]

    def suits(self, config):
        headless = config.num_register_tokens and config.layer_scale and not config.num_classes
        antialias = config.position_embedding_interpolation == "linear_antialias"
        return bool(headless and config.class_token and antialias)

    def avoided(self, config):
        mlp = () if config.mlp == "swiglu" else (r"\.mlp\.w\d",)
        return (r"^reg_token$", r"\.mlp\.fc", *mlp)


class PixioLayout(TransformersLayout):
    """`PixioModel`, whose class tokens are registers with positions here."""

    signature = "embeddings.patch_embeddings.projection.weight"
    prefixes = ("pixio.", "")
    families = (
        Family(
            "pixio",
            "PixioModel",
            "",
            "",
            epsilon=1e-6,
            heads=16,
            pooling="none",  # the mean of all class tokens
            preprocessing={**STATISTICS["imagenet"], "resampling": "bicubic"},
        ),
    )
    rows = (
        *(each for each in EMBEDDINGS if each.sources[0] != "embeddings.cls_token"),
        row("embeddings.cls_token", "patch_encoder/register_tokens"),
        *torch_norm(f"{_LAYER}.norm1", f"{BLOCK}/attention_norm"),
        *attention_rows(_LAYER, _V5_LAYER),
        *torch_norm(f"{_LAYER}.norm2", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.intermediate.dense", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.output.dense", f"{BLOCK}/mlp/output"),
        *linear(f"{_V5_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_V5_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *torch_norm("layernorm", "encoder_norm"),
    )
    published = (r"^encoder\.layer\.",)
    lacks = ("distillation_token", "pre_norm", "pre_logits_size", "projection_size")

    def suits(self, config):
        registers = config.num_register_tokens and not config.class_token
        placed = config.position_embedding_prefix_rows == config.num_register_tokens
        return bool(registers and placed and not config.layer_scale)

    def position_rows(self, bound):
        return [bound.shapes["patch_encoder/register_tokens"][1]]

    def poolings(self, config):
        return ("none",)

    def prefix_rows(self, config):
        return config.num_register_tokens

    def avoided(self, config):
        return (r"\.register_tokens$",)

    def family_checks(self, config, family):
        return [
            ("num_classes", not config.num_classes, f"{family} has no head"),
            ("mlp", config.mlp != "swiglu", f"{family} has no gated MLP"),
            (
                "mlp_dim",
                config.mlp_dim % config.hidden_size == 0,
                f"a multiple of hidden_size={config.hidden_size}",
            ),
            ("patch_bias", config.patch_bias, f"{family} has one"),
        ]

    def family_config(self, config):
        return {
            "mlp_ratio": config.mlp_dim // config.hidden_size,
            "n_cls_tokens": config.num_register_tokens,
            "qkv_bias": config.qkv_bias,
        }


DINOV2, TIPS, PIXIO = Dinov2Layout(), TipsLayout(), PixioLayout()
