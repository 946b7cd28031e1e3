"""The image towers of CLIP and SigLIP of transformers, alone or beside their text tower."""

import dataclasses

import numpy as np

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.bound import PATCHES, POSITIONS
from keras_vit.weights.layouts.transformers import IGNORED, Family, TransformersLayout
from keras_vit.weights.rows import BLOCK, Row, linear, row, torch_norm

_LAYERS = ("encoder.layers.{i}", "encoder.layer.{i}")  # the second in AltCLIP
_PACKED = ("pooling/attention/query", "pooling/attention/key_value")
_POOLING = (
    row("head.probe", "pooling/probe"),
    row(
        "head.attention.in_proj_weight",
        [f"{name}/kernel" for name in _PACKED],
        "linear",
        shares=(1, 2),
    ),
    row("head.attention.in_proj_bias", [f"{name}/bias" for name in _PACKED], shares=(1, 2)),
    *linear("head.attention.out_proj", "pooling/attention/output"),
    *torch_norm("head.layernorm", "pooling/mlp_norm"),
    *linear("head.mlp.fc1", "pooling/mlp/hidden"),
    *linear("head.mlp.fc2", "pooling/mlp/output"),
)
_CLIP = Family(
    "clip_vision_model",
    "CLIPVisionModel",
    "CLIPForImageClassification",
    "vision_model.",
    gelu="quick_gelu",
    epsilon=1e-5,
    preprocessing={**STATISTICS["clip"], "resampling": "bicubic", "resize": "crop"},
)
_SIGLIP = Family(
    "siglip_vision_model",
    "SiglipVisionModel",
    "SiglipForImageClassification",
    "vision_model.",
    gelu="gelu_pytorch_tanh",
    epsilon=1e-6,
    preprocessing={"resampling": "bicubic"},
)
# Its pooler normalises the class token a second time, which no pooling here does.
_BLIP = Family(
    "blip_vision_model",
    "BlipVisionModel",
    "",
    "vision_model.",
    epsilon=1e-5,
    pooling="none",
    preprocessing={**STATISTICS["clip"], "resampling": "bicubic"},
)


def _block_rows(layer: str) -> tuple[Row, ...]:
    return (
        *torch_norm(f"{layer}.layer_norm1", f"{BLOCK}/attention_norm"),
        *linear([f"{layer}.self_attn.{p}_proj" for p in "qkv"], f"{BLOCK}/attention/qkv"),
        *linear(f"{layer}.self_attn.out_proj", f"{BLOCK}/attention/output"),
        *linear(f"{layer}.self_attn.qkv", f"{BLOCK}/attention/qkv"),  # these two in BLIP
        *linear(f"{layer}.self_attn.projection", f"{BLOCK}/attention/output"),
        *torch_norm(f"{layer}.layer_norm2", f"{BLOCK}/mlp_norm"),
        *linear(f"{layer}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{layer}.mlp.fc2", f"{BLOCK}/mlp/output"),
    )


class TowerLayout(TransformersLayout):
    """`CLIPVisionModel`, the same with a projection, `SiglipVisionModel`, and both with a head."""

    signature = "embeddings.patch_embedding.weight"
    prefixes = ("vision_model.", "")
    families = (
        _CLIP,
        _SIGLIP,
        *_CLIP.named(
            "clip", "altclip", "altclip_vision_model", "chinese_clip", "chinese_clip_vision_model",
            "clipseg", "clipseg_vision_model", "git", "git_vision_model", "metaclip_2",
            "metaclip_2_vision_model", "owlvit", "owlvit_vision_model", "owlv2",
            "owlv2_vision_model",
        ),
        *_SIGLIP.named("siglip"),
        *_SIGLIP.named("idefics3_vision", "smolvlm_vision", heads=16),
        *_SIGLIP.named("siglip2", "siglip2_vision_model", interpolation="linear_antialias"),
        *_BLIP.named("blip", "blip_vision_model"),
        *_BLIP.named(
            "blip-2", "blip_2_vision_model", "instructblip", "instructblip_vision_model",
            epsilon=1e-6, heads=16,
        ),
    )  # fmt: skip
    rows = (
        row("embeddings.patch_embedding.weight", "patch_encoder/projection/kernel", "torch_patch"),
        row("embeddings.patch_embedding.bias", "patch_encoder/projection/bias"),
        row("embeddings.class_embedding", "patch_encoder/class_token", "token"),
        row("embeddings.position_embedding.weight", POSITIONS, "table"),
        row("embeddings.position_embedding", POSITIONS),
        *torch_norm("pre_layrnorm", "pre_norm"),
        *torch_norm("pre_layernorm", "pre_norm"),  # OWL-ViT spells it otherwise
        *(each for layer in _LAYERS for each in _block_rows(layer)),
        # CLIP normalises the class token alone, which no classifier reads.
        *torch_norm("post_layernorm", "encoder_norm", unless="pre_layrnorm.weight"),
        *torch_norm(
            "post_layernorm",
            "encoder_norm",
            when="pre_layrnorm.weight",
            unless="classifier.weight",
        ),
        row("visual_projection.weight", "projection/kernel", "linear"),
        # A classifier reads the mean of the patches; what pools them otherwise is not used.
        *linear("classifier", "head"),
        *(dataclasses.replace(each, unless="classifier.weight") for each in _POOLING),
    )
    ignored = (
        *IGNORED,
        r"(text_(model|encoder|decoder|projection)|qformer|language_(model|projection))\..*",
        r"(query_tokens|itm_head|text_proj|vision_proj|vision_projection)(\..*)?",
        "logit_scale",
        "logit_bias",
    )
    expresses = ("final_norm",)
    lacks = ("layer_scale", "distillation_token", "num_register_tokens", "pre_logits_size")

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        if "encoder_norm/gamma" not in bound.shapes and fields["num_classes"]:
            told.update(pooling="gap", final_norm="none")
        if len(bound.source_shape(PATCHES)) == 2:
            bound.notes.append("patches of one grid, where NaFlex takes that of each image")
        return told

    def family_by_shapes(self, bound):
        return _CLIP if "pre_norm/gamma" in bound.shapes else _SIGLIP

    def family_for(self, config):
        return _CLIP if config.pre_norm else _SIGLIP

    def suits(self, config):
        siglip = config.pooling == "map" or (config.mlp, config.gelu) == ("gelu", "tanh")
        return config.pre_norm or (siglip and not config.class_token)

    def poolings(self, config):
        if config.num_classes:
            return ("gap",)
        return ("token", "none") if self.family_for(config) is _CLIP else ("map", "gap", "none")

    def norm(self, config):
        return "none" if config.num_classes and self.family_for(config) is _CLIP else "tokens"

    def family_checks(self, config, family):
        clip = self.family_for(config) is _CLIP
        return [
            ("mlp", config.mlp != "swiglu", f"{family} has no gated MLP"),
            ("pre_norm", config.pre_norm == clip, f"{family} decides it"),
            ("class_token", config.class_token == clip, f"{family} decides it"),
            ("patch_bias", config.patch_bias != clip, f"{family} decides it"),
            ("qkv_bias", config.qkv_bias, f"{family} has one"),
            (
                "projection_size",
                config.projection_size is None or (clip and not config.num_classes),
                f"{family} has none" if not clip else "not before a head",
            ),
            ("image_size", len(set(config.image_size)) == 1, f"{family} takes squares"),
        ]

    def full_name(self, name, config):
        outside = name.startswith(("visual_projection.", "classifier."))
        return name if outside else self.family_for(config).prefix + name

    def module_name(self, name, config):
        alone = not config.num_classes and config.projection_size is None
        return name if alone else self.full_name(name, config)

    def architecture(self, config):
        if config.projection_size is not None:
            return "CLIPVisionModelWithProjection"
        return super().architecture(config)

    def write_arrays(self, values, config):
        arrays = super().write_arrays(values, config)
        if config.final_norm == "none":  # of the class token, which no classifier reads
            name = self.full_name("post_layernorm", config)
            arrays[f"{name}.weight"] = np.ones(config.hidden_size, "float32")
            arrays[f"{name}.bias"] = np.zeros(config.hidden_size, "float32")
        return arrays

    def write_config(self, config, preprocessing):
        files = super().write_config(config, preprocessing)
        if config.num_classes:  # around the tower is the config of both towers
            tower, whole = files["config.json"], {}
            for name in ("architectures", "dtype", "id2label", "label2id"):
                whole[name] = tower.pop(name)
            whole["model_type"] = tower["model_type"].removesuffix("_vision_model")
            files["config.json"] = {**whole, "vision_config": tower}
        return files

    def family_config(self, config):
        description = {"intermediate_size": config.mlp_dim}
        if self.family_for(config) is _SIGLIP:
            description["vision_use_head"] = config.pooling == "map"
        if config.projection_size is not None:
            description["projection_dim"] = config.projection_size
        return description


TOWERS = TowerLayout()
