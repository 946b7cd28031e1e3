"""The `.safetensors` files of timm, with the `config.json` of its hub beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.images.spec import STATISTICS
from keras_vit.models.config import HybridConfig
from keras_vit.weights.layouts.activations import GELUS
from keras_vit.weights.layouts.layout import POSITIONS, Layout, hybrid_fits
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_UNIT = "stem/stage_{s}/unit_{u}"
_STAGE = "patch_embed.backbone.stages.{s}.blocks.{u}"
_STEM = (
    # A stem alone is the backbone itself, a ResNet has it as `stem`.
    row("patch_embed.backbone.stem.conv.weight", "stem/root/kernel", "conv"),
    *torch_norm("patch_embed.backbone.stem.norm", "stem/root_norm"),
    row("patch_embed.backbone.conv.weight", "stem/root/kernel", "conv"),
    *torch_norm("patch_embed.backbone.norm", "stem/root_norm"),
    *(
        each
        for conv, norm, conv_target, norm_target in (
            ("conv1", "norm1", "conv1", "norm1"),
            ("conv2", "norm2", "conv2", "norm2"),
            ("conv3", "norm3", "conv3", "norm3"),
            ("downsample.conv", "downsample.norm", "shortcut", "shortcut_norm"),
        )
        for each in (
            row(f"{_STAGE}.{conv}.weight", f"{_UNIT}/{conv_target}/kernel", "conv"),
            *torch_norm(f"{_STAGE}.{norm}", f"{_UNIT}/{norm_target}"),
        )
    ),
)
_HYBRID_STYLE = {
    "group_norm_epsilon": 1e-5,
    "weight_standardization": "variance_plus_epsilon",
    "weight_standardization_epsilon": 1e-8,
}
# The models of timm with another GELU than erf; the config.json of the hub says their name.
_GELUS = {
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


class TimmLayout(Layout):
    """timm's own names, and Facebook's of DINOv2, DeiT and DeiT-III, which are the same."""

    name = "timm"
    signature = "patch_embed.proj.weight"
    rows = (
        *_STEM,
        row("patch_embed.proj.weight", "patch_encoder/projection/kernel", "torch_patch"),
        row("patch_embed.proj.bias", "patch_encoder/projection/bias"),
        row("cls_token", "patch_encoder/class_token"),
        row("dist_token", "patch_encoder/distillation_token"),
        row("reg_token", "patch_encoder/register_tokens"),
        row("register_tokens", "patch_encoder/register_tokens"),
        row("pos_embed", POSITIONS),
        *torch_norm("norm_pre", "pre_norm"),
        *torch_norm("blocks.{i}.norm1", f"{BLOCK}/attention_norm"),
        *linear("blocks.{i}.attn.qkv", f"{BLOCK}/attention/qkv"),
        *torch_norm("blocks.{i}.attn.q_norm", f"{BLOCK}/attention/query_norm"),
        *torch_norm("blocks.{i}.attn.k_norm", f"{BLOCK}/attention/key_norm"),
        *linear("blocks.{i}.attn.proj", f"{BLOCK}/attention/output"),
        row("blocks.{i}.ls1.gamma", f"{BLOCK}/attention_scale/gamma"),
        row("blocks.{i}.gamma_1", f"{BLOCK}/attention_scale/gamma"),
        *torch_norm("blocks.{i}.norm2", f"{BLOCK}/mlp_norm"),
        *linear("blocks.{i}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear("blocks.{i}.mlp.fc2", f"{BLOCK}/mlp/output"),
        # As Facebook's own files name the packed gate and value, and what follows them.
        *linear("blocks.{i}.mlp.w12", f"{BLOCK}/mlp/hidden"),
        *linear("blocks.{i}.mlp.w3", f"{BLOCK}/mlp/output"),
        row("blocks.{i}.ls2.gamma", f"{BLOCK}/mlp_scale/gamma"),
        row("blocks.{i}.gamma_2", f"{BLOCK}/mlp_scale/gamma"),
        *torch_norm("norm", "encoder_norm"),
        *torch_norm("fc_norm", "encoder_norm"),
        row("attn_pool.latent", "pooling/probe"),
        *linear("attn_pool.q", "pooling/attention/query"),
        *linear("attn_pool.kv", "pooling/attention/key_value"),
        *linear("attn_pool.proj", "pooling/attention/output"),
        *torch_norm("attn_pool.norm", "pooling/mlp_norm"),
        *linear("attn_pool.mlp.fc1", "pooling/mlp/hidden"),
        *linear("attn_pool.mlp.fc2", "pooling/mlp/output"),
        *linear("head", "head", unless="head_dist.weight"),
        *linear("head", "head/token", when="head_dist.weight"),
        *linear("head_dist", "head/distillation"),
    )
    ignored = ("mask_token",)

    def read_config(self, bound, fields) -> dict[str, Any]:
        told = {
            "gelu": None if fields["mlp"] == "swiglu" else "erf",
            "layer_norm_epsilon": 1e-5 if fields["pre_norm"] else 1e-6,
            "position_embedding_interpolation": "bicubic_antialias",
        }
        if POSITIONS not in bound.shapes:
            told["position_embedding"] = "sincos2d"
        if fields["hybrid"] is not None:
            told["hybrid"] = dataclasses.replace(fields["hybrid"], **_HYBRID_STYLE)
        norm = bound.find("encoder_norm/gamma")
        if norm is not None and norm.sources[0].endswith("fc_norm.weight"):
            told.update(pooling="gap", final_norm="pooled")
        if fields["mlp"] == "swiglu":
            return told
        architecture = str(bound.file.config.get("architecture", ""))
        told["gelu"] = _GELUS.get(architecture, told["gelu"])
        arguments = bound.file.config.get("model_args")
        activation = arguments.get("act_layer") if isinstance(arguments, Mapping) else None
        told["gelu"] = GELUS.get(str(activation).lower(), told["gelu"])
        return told

    def position_rows(self, bound):
        leading = super().position_rows(bound)[0]
        registers = bound.shapes.get("patch_encoder/register_tokens", (1, 0))[1]
        return [leading, 0, leading + registers]

    def prepare(self, bound, size):
        published = bound.file.config.get("pretrained_cfg")
        if isinstance(published, Mapping):
            return _published_preprocessing(published)
        if "pre_norm/gamma" in bound.shapes:
            return {**STATISTICS["clip"], "resampling": "bicubic", "resize": "crop"}
        fields = {"resampling": "bicubic", "resize": "crop"}
        fields["crop_fraction"] = 0.9 if max(size) <= 256 else 1.0
        if "patch_encoder/distillation_token" in bound.shapes:
            return {**fields, **STATISTICS["imagenet"], "crop_fraction": 224 / 256}
        if "encoder_block_0/attention_scale/gamma" in bound.shapes:  # DeiT-III and DINOv2
            fields.update(STATISTICS["imagenet"])
        return fields

    def checks(self, config):
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
            (
                "patch_bias",
                config.patch_bias != config.pre_norm,
                "there is one without pre_norm only",
            ),
            (
                "position_embedding_prefix_rows",
                rows in (0, config.num_prefix_tokens),
                "for all prefix tokens or none",
            ),
            (
                "hybrid",
                hybrid_fits(config.hybrid, HybridConfig(**_HYBRID_STYLE)),
                "with timm's norms and variances",
            ),
        ]

    def avoided(self, config):
        units = config.hybrid.units_per_stage if config.hybrid else ()
        stem = r"backbone\.(conv|norm)\." if units else r"backbone\.stem\."
        norm = r"^norm\." if config.final_norm == "pooled" else r"^fc_norm\."
        return (stem, norm)


def _published_preprocessing(published: Mapping[str, Any]) -> dict[str, Any]:
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


TIMM = TimmLayout()
