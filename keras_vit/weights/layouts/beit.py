"""BEiT and Data2Vec of transformers, and InternVL's tower."""

from __future__ import annotations

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.bound import BIAS_TABLE, POSITIONS
from keras_vit.weights.layouts.transformers import (
    EMBEDDINGS,
    Family,
    TransformersLayout,
    own_config,
)
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER, _V5_LAYER = "encoder.layer.{i}", "layers.{i}"
_ATTENTION, _QKV = f"{_LAYER}.attention.attention", ("query", "key", "value")
_TABLE = "relative_position_bias.relative_position_bias_table"
_PATCHES = "embeddings.patch_embeddings.projection.weight"
_SCALES = (
    row(f"{_LAYER}.lambda_1", f"{BLOCK}/attention_scale/gamma"),
    row(f"{_LAYER}.lambda_2", f"{BLOCK}/mlp_scale/gamma"),
)


_BEIT = Family(
    "beit",
    "BeitModel",
    "BeitForImageClassification",
    "beit.",
    preprocessing={"resampling": "bicubic"},
)


class BeitLayout(TransformersLayout):
    """`BeitModel`, `Data2VecVisionModel` and the same with a head."""

    signature = _PATCHES
    prefixes = ("beit.", "data2vec_vision.", "")
    families = (_BEIT, *_BEIT.named("data2vec-vision"))
    rows = (
        *EMBEDDINGS,
        *torch_norm(f"{_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        row([f"{_ATTENTION}.{p}.weight" for p in _QKV], f"{BLOCK}/attention/qkv/kernel", "linear"),
        row([f"{_ATTENTION}.{p}.bias" for p in _QKV[::2]], f"{BLOCK}/attention/qkv/bias", gap=1),
        row(f"{_ATTENTION}.{_TABLE}", f"{BLOCK}/attention/{BIAS_TABLE}"),
        row(f"encoder.{_TABLE}", BIAS_TABLE),
        *linear(f"{_LAYER}.attention.output.dense", f"{BLOCK}/attention/output"),
        *torch_norm(f"{_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.intermediate.dense", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.output.dense", f"{BLOCK}/mlp/output"),
        row(
            [f"{_V5_LAYER}.attention.{p}_proj.weight" for p in "qkv"],
            f"{BLOCK}/attention/qkv/kernel",
            "linear",
        ),
        *linear(f"{_V5_LAYER}.attention.o_proj", f"{BLOCK}/attention/output"),
        *linear(f"{_V5_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_V5_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *_SCALES,
        *torch_norm("layernorm", "encoder_norm"),
        *torch_norm("pooler.layernorm", "encoder_norm"),
        *linear("classifier", "head"),
    )
    ignored = (*TransformersLayout.ignored, r"(.*\.)?relative_position_index")
    expresses = ("relative_position_bias", "position_embedding")
    published = (r"^encoder\.layer\.",)
    lacks = (
        "distillation_token",
        "num_register_tokens",
        "pre_norm",
        "pre_logits_size",
        "projection_size",
    )

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        norm = bound.find("encoder_norm/gamma")
        stated, pooled = own_config(bound.file, given), norm and "pooler." in norm.sources[0]
        if norm is None and stated.flag("use_mean_pooling", True):  # one without its pooler
            told.update(pooling="none", final_norm="none")
        else:
            stated.agree("use_mean_pooling", bool(pooled), "pooling")
        if pooled:
            told.update(pooling="gap", final_norm="pooled")
        if POSITIONS not in bound.shapes:
            told["position_embedding"] = "none"
        return told

    def suits(self, config):
        return config.relative_position_bias is not None or not (config.key_bias or config.rotary)

    def poolings(self, config):
        return ("gap", "token")

    def norm(self, config):
        return "pooled" if config.pooling == "gap" else "tokens"

    def prefix_rows(self, config):
        return int(config.position_embedding == "learned")

    def family_checks(self, config, family):
        relative = config.relative_position_bias
        return [
            (
                "relative_position_bias",
                relative is None or relative.kind == "table",
                f"{family} has a table",
            ),
            ("position_embedding", config.position_embedding != "sincos2d", "learned or none"),
            ("mlp", config.mlp != "swiglu", f"{family} has no gated MLP"),
            ("class_token", config.class_token, f"{family} always has one"),
            ("qkv_bias", config.qkv_bias, f"{family} has one"),
            ("patch_bias", config.patch_bias, f"{family} has one"),
        ]

    def avoided(self, config):
        return (r"^layernorm\.",) if config.pooling == "gap" else (r"^pooler\.",)

    def full_name(self, name, config):
        return name if name.startswith("classifier.") or not config.num_classes else f"beit.{name}"

    def family_config(self, config):
        relative = config.relative_position_bias
        return {
            "intermediate_size": config.mlp_dim,
            "layer_scale_init_value": 0.1 if config.layer_scale else 0.0,
            "use_mean_pooling": config.pooling == "gap",
            "use_absolute_position_embeddings": config.position_embedding == "learned",
            "use_relative_position_bias": relative is not None and not relative.shared,
            "use_shared_relative_position_bias": relative is not None and relative.shared,
        }


class InternVLLayout(TransformersLayout):
    """`InternVLVisionModel`, alone or in front of a language model."""

    signature = _PATCHES
    prefixes = ("vision_tower.", "")
    families = (
        Family(
            "internvl_vision",
            "InternVLVisionModel",
            "",
            "",
            epsilon=1e-6,
            heads=16,
            pooling="none",
            preprocessing={**STATISTICS["imagenet"], "resampling": "bicubic"},
        ),
    )
    rows = (
        *EMBEDDINGS,
        *torch_norm(f"{_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        *linear([f"{_LAYER}.attention.{p}_proj" for p in "qkv"], f"{BLOCK}/attention/qkv"),
        *torch_norm(f"{_LAYER}.attention.q_norm", f"{BLOCK}/attention/query_norm"),
        *torch_norm(f"{_LAYER}.attention.k_norm", f"{BLOCK}/attention/key_norm"),
        *linear(f"{_LAYER}.attention.projection_layer", f"{BLOCK}/attention/output"),
        *torch_norm(f"{_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *_SCALES,
        *torch_norm("layernorm", "encoder_norm"),
    )
    ignored = (*TransformersLayout.ignored, r"(language_model|multi_modal_projector)\..*")
    expresses = ("norm", "final_norm", "qk_norm")
    lacks = ("distillation_token", "pre_norm", "pre_logits_size", "projection_size")

    def suits(self, config):
        scaled = config.layer_scale and config.class_token and not config.num_register_tokens
        plain = config.norm == "layer" and config.final_norm == "tokens" and not config.qk_norm
        return scaled and not plain  # else it is as DINOv2

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        stated = own_config(bound.file, given)
        if stated.text("norm_type", "layer_norm") == "rms_norm":
            told["norm"] = "rms"
        if fields["qk_norm"]:  # that is RMS norm of this epsilon, whatever the others are
            stated.must_be("norm_type", "rms_norm", "layer norms beside RMS norms")
            stated.must_be("layer_norm_eps", 1e-6, "norms of two epsilons")
        if stated.flag("use_mean_pooling", True):
            told["final_norm"] = "none"
        return told

    def poolings(self, config):
        return ("none",)

    def norm(self, config):
        return "none"

    def family_checks(self, config, family):
        joint = config.qk_norm == "joint" and config.norm == "rms"
        return [
            ("num_classes", not config.num_classes, f"{family} has no head"),
            (
                "qk_norm",
                not config.qk_norm or (joint and config.layer_norm_epsilon == 1e-6),
                '"joint", beside RMS norms of epsilon 1e-6',
            ),
            ("mlp", config.mlp != "swiglu", f"{family} has no gated MLP"),
            ("patch_bias", config.patch_bias, f"{family} has one"),
        ]

    def family_config(self, config):
        return {
            "intermediate_size": config.mlp_dim,
            "attention_bias": config.qkv_bias,
            "use_qk_norm": bool(config.qk_norm),
            "norm_type": "rms_norm" if config.norm == "rms" else "layer_norm",
            "layer_scale_init_value": config.layer_scale_init,
            "use_mean_pooling": True,
            "use_absolute_position_embeddings": True,
        }


BEIT, INTERNVL = BeitLayout(), InternVLLayout()
