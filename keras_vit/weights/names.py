"""Source names and canonical names, one table a layout.

A row of a table says which arrays of the file make which variables of the model, and in which form
(`forms.py`) they are stored. `{i}` is the number of a block, `{s}` a stage, `{u}` a unit; `{s+1}`
counts from 1. Canonical names are the paths of the variables below the model. Tables are read both
ways: to load, and (the first row that makes a variable) to save.
"""

from __future__ import annotations

import dataclasses

from keras_vit.weights.rows import Layout, Row

BLOCK = "encoder_block_{i}"
_UNIT = "stem/stage_{s}/unit_{u}"


def _row(sources, targets, form="same", **fields) -> Row:
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    return Row(sources, targets, form, **fields)


def _norm(source: str, target: str, scale: str = "scale", form: str = "same") -> tuple[Row, Row]:
    return (
        _row(f"{source}{scale}", f"{target}/gamma", form),
        _row(f"{source}bias", f"{target}/beta", form),
    )


def _torch_norm(source: str, target: str) -> tuple[Row, Row]:
    return _norm(f"{source}.", target, "weight")


def _linear(sources, targets, form: str = "linear", **fields) -> tuple[Row, Row]:
    """Weight and bias of torch layers."""
    sources = (sources,) if isinstance(sources, str) else sources
    targets = (targets,) if isinstance(targets, str) else targets
    return (
        _row([f"{s}.weight" for s in sources], [f"{t}/kernel" for t in targets], form, **fields),
        _row([f"{s}.bias" for s in sources], [f"{t}/bias" for t in targets], **fields),
    )


def _dense(source: str, target: str) -> tuple[Row, Row]:
    """Kernel and bias of a Flax Dense layer."""
    return (
        _row(f"{source}/kernel", f"{target}/kernel"),
        _row(f"{source}/bias", f"{target}/bias"),
    )


def _flax_attention(source: str, target: str, parts: dict[str, tuple[str, ...]]) -> tuple[Row, ...]:
    rows = []
    for name, sources in parts.items():
        names = [f"{source}/{part}" for part in sources]
        rows.append(_row([f"{n}/kernel" for n in names], f"{target}/{name}/kernel", "heads_kernel"))
        rows.append(_row([f"{n}/bias" for n in names], f"{target}/{name}/bias", "heads_bias"))
    rows.append(_row(f"{source}/out/kernel", f"{target}/output/kernel", "heads_output"))
    rows.append(_row(f"{source}/out/bias", f"{target}/output/bias"))
    return tuple(rows)


def _flax_mlp(source: str, target: str) -> tuple[Row, ...]:
    return (
        *_dense(f"{source}/Dense_0", f"{target}/hidden"),
        *_dense(f"{source}/Dense_1", f"{target}/output"),
    )


_QKV = {"qkv": ("query", "key", "value")}
_ENCODER = "Transformer/encoderblock_{i}"
# As released by google-research/vision_transformer, then as newer Flax (big_vision) counts modules.
_GOOGLE_BLOCK = (
    *_norm(f"{_ENCODER}/LayerNorm_0/", f"{BLOCK}/attention_norm"),
    *_norm(f"{_ENCODER}/LayerNorm_2/", f"{BLOCK}/mlp_norm"),
    *_flax_attention(f"{_ENCODER}/MultiHeadDotProductAttention_1", f"{BLOCK}/attention", _QKV),
    *_flax_mlp(f"{_ENCODER}/MlpBlock_3", f"{BLOCK}/mlp"),
)
_LINEN_BLOCK = (
    *_norm(f"{_ENCODER}/LayerNorm_1/", f"{BLOCK}/mlp_norm"),
    *_flax_attention(f"{_ENCODER}/MultiHeadDotProductAttention_0", f"{BLOCK}/attention", _QKV),
    *_flax_mlp(f"{_ENCODER}/MlpBlock_0", f"{BLOCK}/mlp"),
)
_SCANNED_BLOCK = tuple(
    dataclasses.replace(
        row,
        sources=tuple(s.replace("encoderblock_{i}", "encoderblock") for s in row.sources),
        stacked=True,
    )
    for row in (*_GOOGLE_BLOCK, *_LINEN_BLOCK)
)
_GOOGLE_STEM = (
    _row("conv_root/kernel", "stem/root/kernel"),
    *_norm("gn_root/", "stem/root_norm", form="flat"),
    *(
        row
        for source, norm, conv_target, norm_target in (
            ("conv1", "gn1", "conv1", "norm1"),
            ("conv2", "gn2", "conv2", "norm2"),
            ("conv3", "gn3", "conv3", "norm3"),
            ("conv_proj", "gn_proj", "shortcut", "shortcut_norm"),
        )
        for row in (
            _row("block{s+1}/unit{u+1}/" + source + "/kernel", f"{_UNIT}/{conv_target}/kernel"),
            *_norm("block{s+1}/unit{u+1}/" + norm + "/", f"{_UNIT}/{norm_target}", form="flat"),
        )
    ),
)
GOOGLE = Layout(
    name="google",
    signature="embedding/kernel",
    prefixes=("params/img/", "opt/target/", "params/", "target/", "img/", ""),
    rows=(
        *_GOOGLE_STEM,
        _row("embedding/kernel", "patch_encoder/projection/kernel", "flax_patch"),
        _row("embedding/bias", "patch_encoder/projection/bias"),
        _row("cls", "patch_encoder/class_token"),
        _row("Transformer/posembed_input/pos_embedding", "patch_encoder/position_embedding"),
        _row("pos_embedding", "patch_encoder/position_embedding"),
        *_GOOGLE_BLOCK,
        *_LINEN_BLOCK,
        *_SCANNED_BLOCK,
        *_norm("Transformer/encoder_norm/", "encoder_norm"),
        _row("MAPHead_0/probe", "pooling/probe"),
        *_flax_attention(
            "MAPHead_0/MultiHeadDotProductAttention_0",
            "pooling/attention",
            {"query": ("query",), "key_value": ("key", "value")},
        ),
        *_norm("MAPHead_0/LayerNorm_0/", "pooling/mlp_norm"),
        *_flax_mlp("MAPHead_0/MlpBlock_0", "pooling/mlp"),
        *_dense("pre_logits", "pre_logits"),
        *_dense("head", "head"),
    ),
    ignored=(
        r"(params/)?txt/.*",
        r"(params/)?[tb]",
        r"opt/(?!target/).*",
        r"(opt/)?(step|state|state_dict)(/.*)?",
    ),
)

_TIMM_STAGE = "patch_embed.backbone.stages.{s}.blocks.{u}"
_TIMM_STEM = (
    # A stem alone is the backbone itself, a ResNet has it as `stem`.
    _row("patch_embed.backbone.stem.conv.weight", "stem/root/kernel", "conv"),
    *_torch_norm("patch_embed.backbone.stem.norm", "stem/root_norm"),
    _row("patch_embed.backbone.conv.weight", "stem/root/kernel", "conv"),
    *_torch_norm("patch_embed.backbone.norm", "stem/root_norm"),
    *(
        row
        for conv, norm, conv_target, norm_target in (
            ("conv1", "norm1", "conv1", "norm1"),
            ("conv2", "norm2", "conv2", "norm2"),
            ("conv3", "norm3", "conv3", "norm3"),
            ("downsample.conv", "downsample.norm", "shortcut", "shortcut_norm"),
        )
        for row in (
            _row(f"{_TIMM_STAGE}.{conv}.weight", f"{_UNIT}/{conv_target}/kernel", "conv"),
            *_torch_norm(f"{_TIMM_STAGE}.{norm}", f"{_UNIT}/{norm_target}"),
        )
    ),
)
TIMM = Layout(
    name="timm",
    signature="patch_embed.proj.weight",
    prefixes=("",),
    rows=(
        *_TIMM_STEM,
        _row("patch_embed.proj.weight", "patch_encoder/projection/kernel", "torch_patch"),
        _row("patch_embed.proj.bias", "patch_encoder/projection/bias"),
        _row("cls_token", "patch_encoder/class_token"),
        _row("dist_token", "patch_encoder/distillation_token"),
        _row("reg_token", "patch_encoder/register_tokens"),
        _row("register_tokens", "patch_encoder/register_tokens"),
        _row("pos_embed", "patch_encoder/position_embedding"),
        *_torch_norm("norm_pre", "pre_norm"),
        *_torch_norm("blocks.{i}.norm1", f"{BLOCK}/attention_norm"),
        *_linear("blocks.{i}.attn.qkv", f"{BLOCK}/attention/qkv"),
        *_torch_norm("blocks.{i}.attn.q_norm", f"{BLOCK}/attention/query_norm"),
        *_torch_norm("blocks.{i}.attn.k_norm", f"{BLOCK}/attention/key_norm"),
        *_linear("blocks.{i}.attn.proj", f"{BLOCK}/attention/output"),
        _row("blocks.{i}.ls1.gamma", f"{BLOCK}/attention_scale/gamma"),
        _row("blocks.{i}.gamma_1", f"{BLOCK}/attention_scale/gamma"),
        *_torch_norm("blocks.{i}.norm2", f"{BLOCK}/mlp_norm"),
        *_linear("blocks.{i}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *_linear("blocks.{i}.mlp.fc2", f"{BLOCK}/mlp/output"),
        # As Facebook's own files name the packed gate and value, and what follows them.
        *_linear("blocks.{i}.mlp.w12", f"{BLOCK}/mlp/hidden"),
        *_linear("blocks.{i}.mlp.w3", f"{BLOCK}/mlp/output"),
        _row("blocks.{i}.ls2.gamma", f"{BLOCK}/mlp_scale/gamma"),
        _row("blocks.{i}.gamma_2", f"{BLOCK}/mlp_scale/gamma"),
        *_torch_norm("norm", "encoder_norm"),
        *_torch_norm("fc_norm", "encoder_norm"),
        _row("attn_pool.latent", "pooling/probe"),
        *_linear("attn_pool.q", "pooling/attention/query"),
        *_linear("attn_pool.kv", "pooling/attention/key_value"),
        *_linear("attn_pool.proj", "pooling/attention/output"),
        *_torch_norm("attn_pool.norm", "pooling/mlp_norm"),
        *_linear("attn_pool.mlp.fc1", "pooling/mlp/hidden"),
        *_linear("attn_pool.mlp.fc2", "pooling/mlp/output"),
        *_linear("head", "head", unless="head_dist.weight"),
        *_linear("head", "head/token", when="head_dist.weight"),
        *_linear("head_dist", "head/distillation"),
    ),
    ignored=("mask_token",),
)

_HF_IGNORED = (r"(.*\.)?position_ids", r"(.*\.)?mask_token")
_HF_EMBEDDINGS = (
    _row(
        "embeddings.patch_embeddings.projection.weight",
        "patch_encoder/projection/kernel",
        "torch_patch",
    ),
    _row("embeddings.patch_embeddings.projection.bias", "patch_encoder/projection/bias"),
    _row("embeddings.cls_token", "patch_encoder/class_token"),
    _row("embeddings.distillation_token", "patch_encoder/distillation_token"),
    _row("embeddings.register_tokens", "patch_encoder/register_tokens"),
    _row("embeddings.position_embeddings", "patch_encoder/position_embedding"),
)


def _hf_attention(published: str, renamed: str) -> tuple[Row, ...]:
    """Attention of ViT and DINOv2: under `published` names, then as transformers 5 has them."""
    old, new = f"{published}.attention", f"{renamed}.attention"
    return (
        *_linear([f"{old}.attention.{p}" for p in _QKV["qkv"]], f"{BLOCK}/attention/qkv"),
        *_linear(f"{old}.output.dense", f"{BLOCK}/attention/output"),
        *_linear([f"{new}.{p}_proj" for p in "qkv"], f"{BLOCK}/attention/qkv"),
        *_linear(f"{new}.o_proj", f"{BLOCK}/attention/output"),
    )


_LAYER, _V5_LAYER = "encoder.layer.{i}", "layers.{i}"
HF_VIT = Layout(
    name="huggingface",
    signature="embeddings.patch_embeddings.projection.weight",
    prefixes=("vit.", "deit.", ""),
    rows=(
        *_HF_EMBEDDINGS,
        *_torch_norm(f"{_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        *_torch_norm(f"{_V5_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        *_hf_attention(_LAYER, _V5_LAYER),
        *_torch_norm(f"{_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *_torch_norm(f"{_V5_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *_linear(f"{_LAYER}.intermediate.dense", f"{BLOCK}/mlp/hidden"),
        *_linear(f"{_V5_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *_linear(f"{_LAYER}.output.dense", f"{BLOCK}/mlp/output"),
        *_linear(f"{_V5_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *_torch_norm("layernorm", "encoder_norm"),
        # A classifier reads the class token itself; a pooler beside it is not used.
        *_linear("pooler.dense", "pre_logits", unless="classifier.weight"),
        *_linear("classifier", "head"),
        *_linear("cls_classifier", "head/token"),
        *_linear("distillation_classifier", "head/distillation"),
    ),
    ignored=(*_HF_IGNORED, r"(vit\.|deit\.)?pooler\.dense\.(weight|bias)"),
)
HF_DINOV2 = Layout(
    name="huggingface",
    signature="embeddings.patch_embeddings.projection.weight",
    prefixes=("dinov2_with_registers.", "dinov2.", ""),
    rows=(
        *_HF_EMBEDDINGS,
        *_torch_norm(f"{_LAYER}.norm1", f"{BLOCK}/attention_norm"),
        *_hf_attention(_LAYER, _LAYER),
        _row(f"{_LAYER}.layer_scale1.lambda1", f"{BLOCK}/attention_scale/gamma"),
        *_torch_norm(f"{_LAYER}.norm2", f"{BLOCK}/mlp_norm"),
        *_linear(f"{_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *_linear(f"{_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *_linear(f"{_LAYER}.mlp.weights_in", f"{BLOCK}/mlp/hidden"),
        *_linear(f"{_LAYER}.mlp.weights_out", f"{BLOCK}/mlp/output"),
        *_linear([f"{_LAYER}.mlp.{p}_proj" for p in ("gate", "up")], f"{BLOCK}/mlp/hidden"),
        *_linear(f"{_LAYER}.mlp.down_proj", f"{BLOCK}/mlp/output"),
        _row(f"{_LAYER}.layer_scale2.lambda1", f"{BLOCK}/mlp_scale/gamma"),
        *_torch_norm("layernorm", "encoder_norm"),
        *_linear("classifier", "head"),
    ),
    ignored=_HF_IGNORED,
)
_TOWER = "encoder.layers.{i}"
_PACKED = ("pooling/attention/query", "pooling/attention/key_value")
HF_TOWER = Layout(
    name="huggingface",
    signature="embeddings.patch_embedding.weight",
    prefixes=("vision_model.", ""),
    rows=(
        _row("embeddings.patch_embedding.weight", "patch_encoder/projection/kernel", "torch_patch"),
        _row("embeddings.patch_embedding.bias", "patch_encoder/projection/bias"),
        _row("embeddings.class_embedding", "patch_encoder/class_token", "token"),
        _row("embeddings.position_embedding.weight", "patch_encoder/position_embedding", "table"),
        *_torch_norm("pre_layrnorm", "pre_norm"),
        *_torch_norm(f"{_TOWER}.layer_norm1", f"{BLOCK}/attention_norm"),
        *_linear([f"{_TOWER}.self_attn.{p}_proj" for p in "qkv"], f"{BLOCK}/attention/qkv"),
        *_linear(f"{_TOWER}.self_attn.out_proj", f"{BLOCK}/attention/output"),
        *_torch_norm(f"{_TOWER}.layer_norm2", f"{BLOCK}/mlp_norm"),
        *_linear(f"{_TOWER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *_linear(f"{_TOWER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *_torch_norm("post_layernorm", "encoder_norm"),
        _row("visual_projection.weight", "projection/kernel", "linear"),
        _row("head.probe", "pooling/probe"),
        _row(
            "head.attention.in_proj_weight",
            [f"{name}/kernel" for name in _PACKED],
            "linear",
            shares=(1, 2),
        ),
        _row("head.attention.in_proj_bias", [f"{name}/bias" for name in _PACKED], shares=(1, 2)),
        *_linear("head.attention.out_proj", "pooling/attention/output"),
        *_torch_norm("head.layernorm", "pooling/mlp_norm"),
        *_linear("head.mlp.fc1", "pooling/mlp/hidden"),
        *_linear("head.mlp.fc2", "pooling/mlp/output"),
    ),
    ignored=(*_HF_IGNORED, r"text_model\..*", r"text_projection\..*", "logit_scale", "logit_bias"),
)

LAYOUTS = (GOOGLE, TIMM, HF_TOWER, HF_DINOV2, HF_VIT)
