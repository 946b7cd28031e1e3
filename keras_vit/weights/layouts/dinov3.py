"""DINOv3 of transformers."""

from __future__ import annotations

import numpy as np

from keras_vit.images.spec import STATISTICS
from keras_vit.models.rotary_config import RotaryConfig
from keras_vit.weights.layouts.transformers import Family, TransformersLayout, own_config
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER = "layer.{i}"
_ATTENTION, _QKV = f"{_LAYER}.attention", f"{BLOCK}/attention/qkv"
_KEY_BIAS, _GATE = "layer.0.attention.k_proj.bias", "layer.0.mlp.gate_proj.weight"
_BASE = 100.0
# What positions are augmented by in training, and what the class takes where nothing is told.
_AUGMENTED = {"shift": None, "jitter": None, "rescale": 2.0}


class Dinov3Layout(TransformersLayout):
    """`DINOv3ViTModel` and its backbone."""

    signature = "embeddings.patch_embeddings.weight"
    module_prefixes = ("model.", "")
    families = (
        Family(
            "dinov3_vit",
            "DINOv3ViTModel",
            "",
            "",
            epsilon=1e-5,
            heads=6,
            preprocessing=STATISTICS["imagenet"],
        ),
    )
    rows = (
        row(signature, "patch_encoder/projection/kernel", "torch_patch"),
        row("embeddings.patch_embeddings.bias", "patch_encoder/projection/bias"),
        row("embeddings.cls_token", "patch_encoder/class_token"),
        row("embeddings.register_tokens", "patch_encoder/register_tokens"),
        *torch_norm(f"{_LAYER}.norm1", f"{BLOCK}/attention_norm"),
        row([f"{_ATTENTION}.{p}_proj.weight" for p in "qkv"], f"{_QKV}/kernel", "linear"),
        row([f"{_ATTENTION}.{p}_proj.bias" for p in "qkv"], f"{_QKV}/bias", when=_KEY_BIAS),
        row([f"{_ATTENTION}.{p}_proj.bias" for p in "qv"], f"{_QKV}/bias", unless=_KEY_BIAS, gap=1),
        *linear(f"{_ATTENTION}.o_proj", f"{BLOCK}/attention/output"),
        row(f"{_LAYER}.layer_scale1.lambda1", f"{BLOCK}/attention_scale/gamma"),
        *torch_norm(f"{_LAYER}.norm2", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.mlp.up_proj", f"{BLOCK}/mlp/hidden", unless=_GATE),
        *linear([f"{_LAYER}.mlp.{p}_proj" for p in ("gate", "up")], f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.down_proj", f"{BLOCK}/mlp/output"),
        row(f"{_LAYER}.layer_scale2.lambda1", f"{BLOCK}/mlp_scale/gamma"),
        *torch_norm("norm", "encoder_norm"),
    )
    expresses = ("rotary", "position_embedding")
    lacks = ("distillation_token", "pre_norm", "pre_logits_size", "projection_size")

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        stated = own_config(bound.file, given)
        stated.agree("use_gated_mlp", fields["mlp"] == "swiglu", "mlp")
        if fields["mlp"] == "swiglu":
            stated.must_be("hidden_act", "silu", "other gate in a gated MLP")
        drawn = {
            name: stated.number_or_none(f"pos_embed_{name}", most)
            for name, most in _AUGMENTED.items()
        }
        rotary = RotaryConfig(base=stated.number("rope_theta", _BASE), scale="centred", **drawn)
        return {**told, "position_embedding": "none", "rotary": rotary}

    def suits(self, config):
        return config.rotary is not None and config.position_embedding == "none"

    def checks(self, config):
        rotary = RotaryConfig(base=config.rotary.base, scale="centred", **_drawn(config))
        return [*super().checks(config), ("rotary", config.rotary == rotary, "that of dinov3_vit")]

    def prefix_rows(self, config):
        return 0

    def family_checks(self, config, family):
        return [
            ("num_classes", not config.num_classes, f"{family} has no head"),
            ("class_token", config.class_token, f"{family} always has one"),
            ("layer_scale", config.layer_scale, f"{family} always has it"),
            ("num_register_tokens", config.num_register_tokens, f"{family} always has some"),
            ("patch_bias", config.patch_bias, f"{family} has one"),
        ]

    def avoided(self, config):
        mlp = r"^\S*\.mlp\.up_" if config.mlp == "swiglu" else r"\.mlp\.gate_"
        return (mlp,) if config.key_bias else (mlp, r"\.k_proj\.bias")

    def write_arrays(self, values, config):
        arrays = super().write_arrays(values, config)  # the mask token is never read
        arrays["embeddings.mask_token"] = np.zeros((1, 1, config.hidden_size), "float32")
        return arrays

    def module_name(self, name, config):
        return f"model.{name}"

    def family_config(self, config):
        gated = config.mlp == "swiglu"
        return {
            "intermediate_size": config.mlp_dim,
            "num_register_tokens": config.num_register_tokens,
            "rope_theta": config.rotary.base,
            **{f"pos_embed_{name}": most for name, most in _drawn(config).items()},
            "use_gated_mlp": gated,
            **({"hidden_act": "silu"} if gated else {}),
            **dict.fromkeys(("query_bias", "value_bias"), config.qkv_bias),
            "key_bias": config.qkv_bias and config.key_bias,
        }


def _drawn(config):
    return {name: getattr(config.rotary, name) for name in _AUGMENTED}


DINOV3 = Dinov3Layout()
