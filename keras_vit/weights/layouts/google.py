"""The `.npz` files of google-research/vision_transformer and of big_vision."""

import dataclasses
from typing import Any

from keras_vit.models.config import HybridConfig
from keras_vit.weights.files.suffixes import NPZ
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.layout import Layout, hybrid_fits
from keras_vit.weights.rows import BLOCK, Row, row

_UNIT = "stem/stage_{s}/unit_{u}"
_QKV = {"qkv": ("query", "key", "value")}
_ENCODER = "Transformer/encoderblock_{i}"


def _norm(source: str, target: str, form: str = "same") -> tuple[Row, Row]:
    return (
        row(f"{source}/scale", f"{target}/gamma", form),
        row(f"{source}/bias", f"{target}/beta", form),
    )


def _dense(source: str, target: str) -> tuple[Row, Row]:
    return (row(f"{source}/kernel", f"{target}/kernel"), row(f"{source}/bias", f"{target}/bias"))


def _attention(source: str, target: str, parts: dict[str, tuple[str, ...]]) -> tuple[Row, ...]:
    rows = []
    for name, sources in parts.items():
        names = [f"{source}/{part}" for part in sources]
        rows.append(row([f"{n}/kernel" for n in names], f"{target}/{name}/kernel", "heads_kernel"))
        rows.append(row([f"{n}/bias" for n in names], f"{target}/{name}/bias", "heads_bias"))
    rows.append(row(f"{source}/out/kernel", f"{target}/output/kernel", "heads_output"))
    rows.append(row(f"{source}/out/bias", f"{target}/output/bias"))
    return tuple(rows)


def _mlp(source: str, target: str) -> tuple[Row, ...]:
    return (
        *_dense(f"{source}/Dense_0", f"{target}/hidden"),
        *_dense(f"{source}/Dense_1", f"{target}/output"),
    )


# As released by google-research/vision_transformer, then as newer Flax (big_vision) counts modules.
_RELEASED_BLOCK = (
    *_norm(f"{_ENCODER}/LayerNorm_0", f"{BLOCK}/attention_norm"),
    *_norm(f"{_ENCODER}/LayerNorm_2", f"{BLOCK}/mlp_norm"),
    *_attention(f"{_ENCODER}/MultiHeadDotProductAttention_1", f"{BLOCK}/attention", _QKV),
    *_mlp(f"{_ENCODER}/MlpBlock_3", f"{BLOCK}/mlp"),
)
_LINEN_BLOCK = (
    *_norm(f"{_ENCODER}/LayerNorm_1", f"{BLOCK}/mlp_norm"),
    *_attention(f"{_ENCODER}/MultiHeadDotProductAttention_0", f"{BLOCK}/attention", _QKV),
    *_mlp(f"{_ENCODER}/MlpBlock_0", f"{BLOCK}/mlp"),
)
_SCANNED_BLOCK = tuple(
    dataclasses.replace(
        each,
        sources=tuple(s.replace("encoderblock_{i}", "encoderblock") for s in each.sources),
        stacked=0,
    )
    for each in (*_RELEASED_BLOCK, *_LINEN_BLOCK)
)
_STEM = (
    row("conv_root/kernel", "stem/root/kernel"),
    *_norm("gn_root", "stem/root_norm", form="flat"),
    *(
        each
        for source, norm, conv_target, norm_target in (
            ("conv1", "gn1", "conv1", "norm1"),
            ("conv2", "gn2", "conv2", "norm2"),
            ("conv3", "gn3", "conv3", "norm3"),
            ("conv_proj", "gn_proj", "shortcut", "shortcut_norm"),
        )
        for each in (
            row("block{s+1}/unit{u+1}/" + source + "/kernel", f"{_UNIT}/{conv_target}/kernel"),
            *_norm("block{s+1}/unit{u+1}/" + norm, f"{_UNIT}/{norm_target}", form="flat"),
        )
    ),
)


class GoogleLayout(Layout):
    """vit_jax names; big_vision ones for MAP pooling, sincos2d positions, a token without one."""

    name = "google"
    signature = "embedding/kernel"
    prefixes = ("params/img/", "opt/target/", "params/", "target/", "img/", "")
    suffix = NPZ
    rows = (
        *_STEM,
        row("embedding/kernel", "patch_encoder/projection/kernel", "flax_patch"),
        row("embedding/bias", "patch_encoder/projection/bias"),
        row("cls", "patch_encoder/class_token"),
        row("Transformer/posembed_input/pos_embedding", POSITIONS),
        row("pos_embedding", POSITIONS),
        *_RELEASED_BLOCK,
        *_LINEN_BLOCK,
        *_SCANNED_BLOCK,
        *_norm("Transformer/encoder_norm", "encoder_norm"),
        row("MAPHead_0/probe", "pooling/probe"),
        *_attention(
            "MAPHead_0/MultiHeadDotProductAttention_0",
            "pooling/attention",
            {"query": ("query",), "key_value": ("key", "value")},
        ),
        *_norm("MAPHead_0/LayerNorm_0", "pooling/mlp_norm"),
        *_mlp("MAPHead_0/MlpBlock_0", "pooling/mlp"),
        *_dense("pre_logits", "pre_logits"),
        *_dense("head", "head"),
    )
    ignored = (
        r"(params/)?txt/.*",
        r"(params/)?[tb]",
        r"opt/(?!target/).*",
        r"(opt/)?(step|state|state_dict)(/.*)?",
    )

    def read_config(self, bound, fields, given) -> dict[str, Any]:
        told = {
            "gelu": "tanh",
            "layer_norm_epsilon": 1e-6,
            "position_embedding_interpolation": "linear_align_corners",
            "num_heads": bound.source_shape("encoder_block_0/attention/qkv/kernel")[1],
        }
        if POSITIONS not in bound.shapes:
            told["position_embedding"] = "sincos2d"
        if not fields["num_classes"] and not fields["pre_logits_size"] and "pooling" not in fields:
            # Without a head vit_jax returns every token, big_vision the mean.
            rooted = self._positions_at_the_root(bound) and not fields["class_token"]
            told["pooling"] = "gap" if rooted else "none"
        return told

    def _positions_at_the_root(self, bound) -> bool:
        """Whether positions lie where big_vision has them, which adds them before the token."""
        position = bound.find(POSITIONS)
        return position is None or "posembed_input" not in position.sources[0]

    def position_rows(self, bound):
        return [0] if self._positions_at_the_root(bound) else super().position_rows(bound)

    def checks(self, config):
        poolings = ("token", "gap", "map", "none")
        return [
            ("gelu", config.gelu == "tanh", "google-research uses tanh"),
            ("mlp", config.mlp == "gelu", "it has no gated MLP"),
            ("layer_norm_epsilon", config.layer_norm_epsilon == 1e-6, "1e-06 always"),
            ("patch_bias", config.patch_bias, "the patch embedding always has one"),
            ("qkv_bias", config.qkv_bias, "attention always has one"),
            ("distillation_token", not config.distillation_token, "there is none"),
            ("num_register_tokens", not config.num_register_tokens, "there are none"),
            ("layer_scale", not config.layer_scale, "there is none"),
            ("qk_norm", not config.qk_norm, "there is none"),
            ("pre_norm", not config.pre_norm, "there is none"),
            ("projection_size", config.projection_size is None, "there is none"),
            ("final_norm", config.final_norm == "tokens", "the norm acts on tokens"),
            ("pooling", config.pooling in poolings, 'only "token", "gap", "map" and "none"'),
            (
                "class_token",
                config.pooling in ("token", "none") or not config.class_token,
                f"a class token is not used with pooling={config.pooling!r}",
            ),
            (
                "pre_logits_activation",
                config.pre_logits_size is None or config.pre_logits_activation == "tanh",
                "tanh always",
            ),
            ("hybrid", hybrid_fits(config.hybrid, HybridConfig()), "with Google's norms and stds"),
        ]

    def _as_big_vision(self, config) -> bool:
        return (
            config.pooling == "map"
            or config.position_embedding == "sincos2d"
            or config.position_embedding_prefix_rows != int(config.class_token)
        )

    def avoided(self, config):
        if self._as_big_vision(config):
            return ("LayerNorm_2/", "Attention_1/", "MlpBlock_3/", "posembed_input/")
        return ("LayerNorm_1/", "Attention_0/", "MlpBlock_0/")

    def full_name(self, name, config):
        return f"params/{name}" if self._as_big_vision(config) else name


GOOGLE = GoogleLayout()
