"""The `.safetensors` files of timm, with the `config.json` of its hub beside them."""

import dataclasses
import math
import re
from typing import Any

import numpy as np

from keras_vit.images.spec import STATISTICS
from keras_vit.models.config import HybridConfig
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.layout import Layout, hybrid_fits
from keras_vit.weights.layouts.timm_architectures import is_known
from keras_vit.weights.layouts.timm_config import (
    architecture_of,
    foreign_architecture,
    model_arguments,
    published_size,
    read_published_preprocessing,
    read_timm_config,
)
from keras_vit.weights.layouts.timm_names import ROWS
from keras_vit.weights.layouts.timm_saving import vision_transformer, write_timm_config

_HYBRID_STYLE = {
    "group_norm_epsilon": 1e-5,
    "weight_standardization": "variance_plus_epsilon",
    "weight_standardization_epsilon": 1e-8,
}


# (hidden size, MLP, blocks) of what timm has published beside the variants of this package, and its
# heads.
_HEADS = {
    (256, 1024, 10): 4, (256, 1280, 14): 4, (320, 1792, 14): 5, (384, 1536, 36): 6,
    (512, 2048, 12): 8, (512, 2048, 20): 8, (640, 2560, 12): 10, (832, 2176, 21): 13,
    (896, 2304, 18): 14, (896, 3584, 12): 14, (1536, 6144, 40): 16,
}  # fmt: skip
# SigLIP's GELU is tanh at these (hidden size, patch size, rows of the grid or None for any).
_TANH_SIGLIP = {(768, 32, None), (1024, 16, 32), (1152, 16, None), (1536, 16, None)}


class TimmLayout(Layout):
    """timm's own names, and Facebook's of DINOv2, DeiT and DeiT-III, which are the same."""

    name = "timm"
    signature = "patch_embed.proj.weight"
    rows = ROWS
    expresses = (
        "norm", "attention_output_bias", "attention_inner_norm", "mlp_bias", "mlp_inner_norm",
        "final_norm", "position_embedding",
    )  # fmt: skip
    # The decoder is that of MAE; the rest stands beside the tower in files of open_clip.
    ignored = (
        r"(.*\.)?mask_token", r"(.*\.)?decoder_.*", r"(.*\.)?relative_position_index", r"text\..*",
        "logit_scale", "logit_bias", r"rope_embed\.periods", r"(.*\.)?bias_mask",
        r"local_cls_norm\..*",
    )  # fmt: skip

    def table_name(self, name):
        """Facebook's DINOv2 counts blocks on through its chunks: `blocks.1.10` is block 10."""
        return re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)

    def foreign_features(self, bound):
        features = foreign_architecture(bound) or super().foreign_features(bound)
        told = is_known(architecture_of(bound)) or "use_rot_pos_emb" in model_arguments(bound)
        return features if features or told else self._models_of_the_same_arrays(bound)

    def _models_of_the_same_arrays(self, bound) -> list[str]:
        """Names what a model has that nothing tells, by published models of the same arrays."""
        shapes, block = bound.shapes, "encoder_block_0"
        bias = bound.find(f"{block}/attention/qkv/bias")
        gated = shapes.get(f"{block}/mlp/hidden/kernel", (0, 0))[-1:]
        gated = gated != shapes.get(f"{block}/mlp/output/kernel", (0,))[:1]
        if {"pre_norm/gamma", "pooling/probe"} <= shapes.keys():
            return ["rotary positions, as Perception Encoder has them beside these arrays"]
        if bias is not None and bias.row.gap is not None and gated and POSITIONS in shapes:
            return ["rotary positions, as EVA-02 has them beside these arrays"]
        distances = any(name.endswith("relative_bias/hidden/kernel") for name in shapes)
        if distances and f"{block}/attention_scale/gamma" not in shapes:
            return ["post-norm blocks, as vit_relpos_*_rpn of timm have them with these arrays"]
        return []

    def read_config(self, bound, fields, given) -> dict[str, Any]:
        beit3 = fields["attention_inner_norm"] and fields["mlp"] == "gelu"
        told = {"layer_norm_epsilon": 1e-5 if fields["pre_norm"] or beit3 else 1e-6}
        relative = fields["relative_position_bias"]
        if relative is not None and relative.kind == "table":
            told["relative_position_bias"] = dataclasses.replace(
                relative, interpolation="geometric"
            )
        if fields["hybrid"] is not None:
            told["hybrid"] = dataclasses.replace(fields["hybrid"], **_HYBRID_STYLE)
        norm = bound.find("encoder_norm/gamma")
        if norm is not None and norm.sources[0].endswith("fc_norm.weight"):
            told.update(pooling="gap", final_norm="pooled")
        told.update(read_timm_config(bound, {**fields, **told}, given))
        if fields["mlp"] == "gelu" and not {"gelu", "mlp"} & {*told, *given}:
            told["gelu"] = self._likely_gelu(bound, fields)
        if not architecture_of(bound):
            self._say_what_names_do_not(bound, {**fields, **told})
        sizes = tuple(fields[name] for name in ("hidden_size", "mlp_dim", "num_layers"))
        if not {"num_heads"} & (told.keys() | given.keys()) and sizes in _HEADS:
            told["num_heads"] = _HEADS[sizes]
            bound.notes.append(f"num_heads={_HEADS[sizes]}, as published models of its sizes")
        return told

    def _say_what_names_do_not(self, bound, fields) -> None:
        """Warns where published models of other blocks have the same names and shapes."""
        base = (fields["hidden_size"], fields["num_layers"]) == (768, 12)
        pooled = not fields["class_token"] and fields.get("pooling", "gap") == "gap"
        scale = bound.find("encoder_block_0/attention_scale/gamma")
        if fields["relative_position_bias"] is not None or fields.get("rotary") is not None:
            return
        if scale is not None and scale.sources[0].endswith("gamma_1") and fields["class_token"]:
            bound.guess(
                "positions are the stored ones alone, as in DeiT-III; ViT-RoPE-APE of timm has the "
                "same arrays, and rotary positions"
            )
        elif base and pooled and not fields["qkv_bias"] and fields.get("final_norm") == "pooled":
            bound.guess(
                "blocks normalise first; vit_base_patch16_rpn_224 of timm has the same arrays, and "
                "normalises last"
            )
        elif base and pooled and fields["qkv_bias"] and "num_heads" not in fields:
            bound.guess(
                "num_heads=12; vit_base_patch16_gap_224 of timm has the same arrays, and 16 heads"
            )

    def _likely_gelu(self, bound, fields) -> str:
        """The GELU of published models of these shapes, where nothing in the file tells it."""
        if fields["pre_norm"]:
            bound.guess(
                "gelu='erf', as most CLIP models of timm have it; those of OpenAI, of the same "
                "shapes, have gelu='quick'"
            )
        elif not fields["class_token"] and fields.get("pooling") in ("map", None):
            hidden, patch = fields["hidden_size"], fields["patch_size"]
            rows = math.isqrt(bound.shapes.get(POSITIONS, (1, 0))[1])
            if {(hidden, patch, None), (hidden, patch, rows)} & _TANH_SIGLIP:
                bound.notes.append("gelu='tanh', as SigLIP of this size has it")
                return "tanh"
        return "erf"

    def position_rows(self, bound):
        leading = super().position_rows(bound)[0]
        registers = bound.shapes.get("patch_encoder/register_tokens", (1, 0))[1]
        without = model_arguments(bound).flag("no_embed_class")
        if without is not None:
            return [0] if without else [leading + registers]
        return [leading, 0, leading + registers]

    def stated_size(self, bound):
        return model_arguments(bound).size("img_size") or published_size(bound)

    def prepare(self, bound, size):
        published = read_published_preprocessing(bound)
        if published is not None:
            return published
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
            ("position_embedding", config.position_embedding != "sincos2d", "learned or none"),
            (
                "mlp_bias",
                config.mlp_bias == config.attention_output_bias,
                "both with attention_output_bias, or neither",
            ),
            (
                "mlp_inner_norm",
                config.mlp != "swiglu" or not config.mlp_inner_norm,
                "in a MLP without gate",
            ),
            ("pre_logits_size", config.pre_logits_size is None, "there is no such layer"),
            (
                "projection_size",
                config.projection_size is None
                or not (config.num_classes or config.pooling == "none"),
                "in the place of a head alone",
            ),
            ("qk_norm", config.qk_norm != "joint", "of each head by itself"),
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
                rows in (0, config.num_prefix_tokens) and (rows or not distilled),
                "for all prefix tokens or, where no model is distilled, none",
            ),
            (
                "hybrid",
                hybrid_fits(config.hybrid, HybridConfig(**_HYBRID_STYLE)),
                "with timm's norms and variances",
            ),
            (
                "layer_scale",
                config.layer_scale or config.mlp != "swiglu",
                "a model with a gated MLP has it",
            ),
        ]

    def write_arrays(self, values, config):
        arrays = super().write_arrays(values, config)
        projection = arrays.pop("visual.head.proj.weight", None)
        if projection is not None:  # a head without bias, which timm has not
            arrays["head.weight"] = projection
            arrays["head.bias"] = np.zeros(len(projection), "float32")
        return arrays

    def write_config(self, config, preprocessing):
        beside = {}
        if config.projection_size is not None:
            beside["projection_size"] = config.projection_size
            config = config.replace(num_classes=config.projection_size, projection_size=None)
        description = write_timm_config(config, preprocessing, self.made_as)
        return {"config.json": {**description, **beside}}

    def made_as(self, config, pooling):
        """Says as what of timm a model is saved, see `write_timm_config`."""
        return vision_transformer(config, pooling)

    def avoided(self, config):
        units = config.hybrid.units_per_stage if config.hybrid else ()
        stem = r"backbone\.(conv|norm)\." if units else r"backbone\.stem\."
        norm = r"^norm\." if config.final_norm == "pooled" else r"^fc_norm\."
        return (stem, norm)


TIMM = TimmLayout()
