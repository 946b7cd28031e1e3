"""What timm has beside its plain Vision Transformer, as what models are saved in.

Their files are read as those of all of timm are (`timm.py`).
"""

from keras_vit.models.rotary_config import AUGMENTED
from keras_vit.weights.layouts.timm import TimmLayout
from keras_vit.weights.layouts.timm_saving import rounded_ratio

_SAME_FOR_ALL = (
    "position_embedding", "layer_scale", "distillation_token", "mlp_bias", "mlp_inner_norm",
)  # fmt: skip


class _TimmClass(TimmLayout):
    """A class of timm that has what its Vision Transformer has not."""

    poolings = ("token", "gap", "none")

    def bind(self, file):
        return None

    def checks(self, config):
        known = ("learned", "none")
        return [
            *(check for check in super().checks(config) if check[0] not in _SAME_FOR_ALL),
            ("position_embedding", config.position_embedding in known, '"learned" or "none"'),
            ("distillation_token", not config.distillation_token, "there is none"),
            ("hybrid", config.hybrid is None, "there is none"),
            ("pooling", config.pooling in self.poolings, f"one of {self.poolings}"),
            ("mlp", config.mlp != "relu", '"gelu" or "swiglu"'),
            ("gelu", config.mlp == "swiglu" or config.gelu == "erf", '"erf"'),
        ]

    def avoided(self, config):
        unpacked = (r"\.mlp\.fc1\.", r"\.w12\.") if self.unpacked(config) else (r"\.fc1_g\.",)
        return (*super().avoided(config), *unpacked)

    def unpacked(self, config):
        """Whether gate and value are a matrix each."""
        return config.mlp == "swiglu"

    def shared_arguments(self, config, pooling):
        """Returns the arguments that all these classes have."""
        return {
            "img_size": list(config.image_size),
            "patch_size": config.patch_size,
            "in_chans": config.in_channels,
            "num_classes": config.num_classes,
            "global_pool": pooling,
            "embed_dim": config.hidden_size,
            "depth": config.num_layers,
            "num_heads": config.num_heads,
            "mlp_ratio": rounded_ratio(config.mlp_dim, config.hidden_size),
            "qkv_bias": config.qkv_bias,
            "init_values": config.layer_scale_init if config.layer_scale else 0,
        }


class TimmEvaLayout(_TimmClass):
    """timm's `Eva`: rotary positions, or no bias of the keys."""

    expresses = (
        "rotary", "attention_inner_norm", "mlp_inner_norm", "final_norm", "position_embedding",
        "pooling_num_heads", "pooling_mlp_dim",
    )  # fmt: skip
    poolings = ("token", "gap", "max", "avgmax", "map", "none")

    def suits(self, config):
        if config.rotary is not None:
            return True
        return not config.key_bias and config.relative_position_bias is None

    def checks(self, config):
        rows = config.position_embedding_prefix_rows
        whole = config.pooling_includes_prefix_tokens or not config.num_prefix_tokens
        return [
            *super().checks(config),
            *([] if config.rotary is None else self._rotary_checks(config)),
            (
                "pooling_includes_prefix_tokens",
                whole if config.pooling == "map" else not config.pooling_includes_prefix_tokens,
                "with MAP alone, and always there",
            ),
            ("position_embedding_prefix_rows", rows in (0, config.num_prefix_tokens), "all or 0"),
        ]

    def _rotary_checks(self, config):
        rotary = config.rotary
        mixed = rotary.learned and (rotary.order, rotary.pairs) != ("xy", "neighbours")
        plain = config.layer_norm_epsilon == 1e-6 or config.layer_scale
        return [
            ("rotary", not mixed, 'learned with order="xy", pairs="neighbours"'),
            ("rotary", not (rotary.scale == "centred" and rotary.offset), "centred without offset"),
            (
                "layer_norm_epsilon",
                plain or rotary.reference_grid is not None,
                "1e-6 where no reference_grid and no layer_scale is",
            ),
        ]

    def avoided(self, config):
        packed = r"\.attn\.[qk]_bias" if config.key_bias else r"\.qkv\.bias$"
        return (*super().avoided(config), r"\.ls[12]\.", r"\.attn\.[qk]_proj", packed)

    def unpacked(self, config):
        return config.mlp == "swiglu" and config.mlp_inner_norm

    def made_as(self, config, pooling):
        epsilon = config.layer_norm_epsilon
        # What these have that an argument of null would not take away: scales, a reference grid.
        name = "vit_base_patch16_dinov3" if config.layer_scale else "vit_pe_core_base_patch16_224"
        if epsilon != 1e-5:
            name, epsilon = "eva_giant_patch14_224", 1e-6
        arguments = {
            **self.shared_arguments(config, pooling),
            "qkv_fused": True,
            "attn_type": "rope" if config.key_bias else "eva",
            "qk_norm": config.qk_norm,
            "swiglu_mlp": config.mlp == "swiglu",
            "scale_mlp": config.mlp_inner_norm,
            "scale_attn_inner": config.attention_inner_norm,
            "class_token": config.class_token,
            "num_reg_tokens": config.num_register_tokens,
            "no_embed_class": config.position_embedding_prefix_rows == 0,
            "use_abs_pos_emb": config.position_embedding == "learned",
            **_rotary_arguments(config.rotary),
            "use_pre_transformer_norm": config.pre_norm,
            "use_post_transformer_norm": config.final_norm == "tokens",
            "use_fc_norm": config.final_norm == "pooled",
        }
        if not config.layer_scale:
            del arguments["init_values"]
        if config.pooling == "map":
            width = config.pooling_mlp_dim or config.mlp_dim
            arguments["attn_pool_num_heads"] = config.pooling_num_heads or config.num_heads
            arguments["attn_pool_mlp_ratio"] = rounded_ratio(width, config.hidden_size)
        return name, epsilon, arguments


def _rotary_arguments(rotary):
    if rotary is None:
        return {"use_rot_pos_emb": False}
    kind = "dinov3" if rotary.scale == "centred" else "mixed" if rotary.learned else "cat"
    arguments = {
        "use_rot_pos_emb": True,
        "rope_type": kind,
        "rope_grid_offset": rotary.offset,
        "rope_grid_indexing": {"yx": "ij", "xy": "xy"}[rotary.order],
        "rope_temperature": rotary.base,
        "rope_rotate_half": rotary.pairs == "halves",
        **{f"rope_{drawn}_coords": getattr(rotary, drawn) for drawn in AUGMENTED},
        "ref_feat_shape": rotary.reference_grid and list(rotary.reference_grid),
    }
    return {name: value for name, value in arguments.items() if value is not None}


class TimmBeitLayout(_TimmClass):
    """timm's `Beit`: a table of relative position bias."""

    expresses = ("relative_position_bias", "position_embedding", "mlp_inner_norm")

    def suits(self, config):
        relative = config.relative_position_bias
        return relative is not None and relative.kind == "table"

    def checks(self, config):
        relative, rows = config.relative_position_bias, config.position_embedding_prefix_rows
        stored = config.position_embedding == "learned"
        return [
            *super().checks(config),
            ("relative_position_bias", relative.interpolation == "geometric", "geometric"),
            ("class_token", config.class_token, "there always is one"),
            ("num_register_tokens", not config.num_register_tokens, "there are none"),
            ("position_embedding_prefix_rows", rows == stored, "one where it is stored"),
            ("pre_norm", not config.pre_norm, "there is none"),
            ("qk_norm", not config.qk_norm, "there is none"),
            (
                "pooling_includes_prefix_tokens",
                not config.pooling_includes_prefix_tokens,
                "the patches alone",
            ),
        ]

    def avoided(self, config):
        return (*super().avoided(config), r"\.ls[12]\.", r"\.qkv\.bias$", r"(\.|shared_)rel_pos\.")

    def made_as(self, config, pooling):
        arguments = {
            **self.shared_arguments(config, pooling),
            "swiglu_mlp": config.mlp == "swiglu",
            "scale_mlp": config.mlp_inner_norm,
            "use_abs_pos_emb": config.position_embedding == "learned",
            "use_rel_pos_bias": not config.relative_position_bias.shared,
            "use_shared_rel_pos_bias": config.relative_position_bias.shared,
            "use_fc_norm": config.final_norm == "pooled",
        }
        return "beit_base_patch16_224", 1e-6, arguments


class TimmRelPosLayout(_TimmClass):
    """timm's `VisionTransformerRelPos`: relative position bias of an MLP."""

    expresses = ("relative_position_bias", "position_embedding")

    def suits(self, config):
        relative = config.relative_position_bias
        return relative is not None and relative.kind == "mlp"

    def checks(self, config):
        return [
            *super().checks(config),
            ("position_embedding", config.position_embedding == "none", "there is none"),
            ("num_register_tokens", not config.num_register_tokens, "there are none"),
            ("mlp", config.mlp == "gelu", '"gelu"'),
            ("pre_norm", not config.pre_norm, "there is none"),
            (
                "pooling_includes_prefix_tokens",
                not config.pooling_includes_prefix_tokens,
                "the patches alone",
            ),
        ]

    def avoided(self, config):
        return (*super().avoided(config), r"\.gamma_[12]$")

    def made_as(self, config, pooling):
        arguments = {
            **self.shared_arguments(config, pooling),
            "qk_norm": config.qk_norm,
            "class_token": config.class_token,
            "fc_norm": config.final_norm == "pooled",
            "rel_pos_type": "mlp",
            "rel_pos_dim": config.relative_position_bias.hidden_size,
            "shared_rel_pos": config.relative_position_bias.shared,
        }
        return "vit_relpos_base_patch16_224", 1e-6, arguments


class TimmAimv2Layout(_TimmClass):
    """timm's AIMv2: a Vision Transformer with RMS norms and one in the patch embedding."""

    expresses = ("norm", "patch_norm", "attention_output_bias", "mlp_bias", "position_embedding")
    poolings = ("token", "gap", "max", "avgmax", "none")

    def suits(self, config):
        return config.patch_norm

    def checks(self, config):
        return [
            *super().checks(config),
            ("norm", config.norm == "rms", '"rms"'),
            ("mlp", config.mlp == "swiglu", '"swiglu"'),
            (
                "mlp_bias",
                config.mlp_bias == config.attention_output_bias,
                "both with attention_output_bias, or neither",
            ),
        ]

    def avoided(self, config):
        return (*super().avoided(config), r"\.gamma_[12]$")

    def made_as(self, config, pooling):
        arguments = {
            **self.shared_arguments(config, pooling),
            "qk_norm": config.qk_norm,
            "proj_bias": config.attention_output_bias,
            "class_token": config.class_token,
            "reg_tokens": config.num_register_tokens,
            "no_embed_class": config.position_embedding_prefix_rows == 0,
            "pos_embed": "learn" if config.position_embedding == "learned" else "none",
            "pre_norm": config.pre_norm,
            "fc_norm": config.final_norm == "pooled",
            "pool_include_prefix": config.pooling_includes_prefix_tokens,
        }
        return "aimv2_large_patch14_224", 1e-5, arguments


TIMM_CLASSES = (TimmEvaLayout(), TimmBeitLayout(), TimmRelPosLayout(), TimmAimv2Layout())
