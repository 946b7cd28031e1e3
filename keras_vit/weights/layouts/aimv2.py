"""AIMv2 of transformers."""

from __future__ import annotations

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.transformers import Family, TransformersLayout, own_config
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER = "encoder.layers.{i}"


class Aimv2Layout(TransformersLayout):
    """`Aimv2VisionModel` with stored positions and without its pooling head."""

    signature = "embeddings.patch_embed.weight"
    prefixes = ("vision_model.", "")
    families = (
        Family(
            "aimv2_vision_model",
            "Aimv2VisionModel",
            "",
            "",
            epsilon=1e-5,
            heads=8,
            pooling="none",
            preprocessing={**STATISTICS["clip"], "resampling": "bicubic", "resize": "crop"},
        ),
    )
    rows = (
        row(signature, "patch_encoder/projection/kernel", "torch_patch"),
        row("embeddings.patch_embed.bias", "patch_encoder/projection/bias"),
        *torch_norm("embeddings.rms_norm", "patch_encoder/norm"),
        row("embeddings.position_embedding.weight", POSITIONS, "table"),
        *torch_norm(f"{_LAYER}.rms_norm1", f"{BLOCK}/attention_norm"),
        *linear([f"{_LAYER}.attention.{p}_proj" for p in "qkv"], f"{BLOCK}/attention/qkv"),
        *linear(f"{_LAYER}.attention.out_proj", f"{BLOCK}/attention/output"),
        *torch_norm(f"{_LAYER}.rms_norm2", f"{BLOCK}/mlp_norm"),
        *linear([f"{_LAYER}.ffn.{p}_proj" for p in ("gate", "up")], f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.ffn.down_proj", f"{BLOCK}/mlp/output"),
        *torch_norm("rms_norm", "encoder_norm"),
    )

    expresses = ("norm", "patch_norm", "attention_output_bias", "mlp_bias")
    lacks = (
        "class_token",
        "distillation_token",
        "num_register_tokens",
        "layer_scale",
        "pre_norm",
        "pre_logits_size",
        "projection_size",
    )

    def read_config(self, bound, fields, given):
        told, stated = super().read_config(bound, fields, given), own_config(bound.file, given)
        stated.must_be("is_native", False, "sincos positions with columns first")
        stated.must_be("hidden_act", "silu", "other gate in a gated MLP")
        epsilon = stated.number("rms_norm_eps", 1e-5)
        return {**told, "norm": "rms", "layer_norm_epsilon": epsilon}

    def suits(self, config):
        return config.patch_norm

    def poolings(self, config):
        return ("none",)

    def family_checks(self, config, family):
        output, square = config.attention_output_bias, len(set(config.image_size)) == 1
        return [
            ("num_classes", not config.num_classes, f"{family} has no head"),
            ("norm", config.norm == "rms", f'"rms" in {family}'),
            ("mlp", config.mlp == "swiglu", f"{family} has a gated MLP"),
            ("attention_output_bias", output == config.qkv_bias, "as qkv_bias"),
            ("patch_bias", config.patch_bias, f"{family} has one"),
            ("image_size", square, f"{family} takes squares"),
        ]

    def family_config(self, config):
        return {
            "intermediate_size": config.mlp_dim,
            "hidden_act": "silu",
            "rms_norm_eps": config.layer_norm_epsilon,
            "qkv_bias": config.qkv_bias,
            "mlp_bias": config.mlp_bias,
            "use_head": False,
            "is_native": False,
        }


AIMV2 = Aimv2Layout()
