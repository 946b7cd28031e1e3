"""The names in files of timm, and Facebook's of DINOv2, DeiT and DeiT-III: what makes what."""

from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_ATTENTION = "blocks.{i}.attn"
_MASK = "blocks.0.attn.qkv.bias_mask"  # DINOv3's authors take the bias of the keys for 0
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


def _relative_bias(name, target):
    """Returns the rows for both kinds of relative position bias."""
    return (
        row(f"{name}.relative_position_bias_table", f"{target}/table"),
        *linear(f"{name}.mlp.fc1", f"{target}/hidden"),
        *linear(f"{name}.mlp.fc2", f"{target}/output"),
    )


ROWS = (
    *_STEM,
    row("patch_embed.proj.weight", "patch_encoder/projection/kernel", "torch_patch"),
    row("patch_embed.proj.bias", "patch_encoder/projection/bias"),
    row("cls_token", "patch_encoder/class_token"),
    row("dist_token", "patch_encoder/distillation_token"),
    row("reg_token", "patch_encoder/register_tokens"),
    row("register_tokens", "patch_encoder/register_tokens"),
    row("storage_tokens", "patch_encoder/register_tokens"),  # DINOv3's authors
    row("pos_embed", POSITIONS, "positions"),
    *torch_norm("patch_embed.norm", "patch_encoder/norm"),
    *torch_norm("norm_pre", "pre_norm"),
    *torch_norm("blocks.{i}.norm1", f"{BLOCK}/attention_norm"),
    row("blocks.{i}.attn.qkv.weight", f"{BLOCK}/attention/qkv/kernel", "linear"),
    row("blocks.{i}.attn.qkv.bias", f"{BLOCK}/attention/qkv/bias", unless=_MASK),
    row("blocks.{i}.attn.qkv.bias", f"{BLOCK}/attention/qkv/bias", "without_keys", when=_MASK),
    # EVA has no bias of the keys, BEiT neither; some of EVA have three matrices.
    row([f"{_ATTENTION}.{x}_bias" for x in "qv"], f"{BLOCK}/attention/qkv/bias", gap=1),
    row(
        [f"{_ATTENTION}.{x}_proj.weight" for x in "qkv"],
        f"{BLOCK}/attention/qkv/kernel",
        "linear",
    ),
    row(
        [f"{_ATTENTION}.{x}_proj.bias" for x in "qkv"],
        f"{BLOCK}/attention/qkv/bias",
        when="blocks.0.attn.k_proj.bias",
    ),
    row(
        [f"{_ATTENTION}.{x}_proj.bias" for x in "qv"],
        f"{BLOCK}/attention/qkv/bias",
        unless="blocks.0.attn.k_proj.bias",
        gap=1,
    ),
    *_relative_bias(f"{_ATTENTION}.rel_pos", f"{BLOCK}/attention/relative_bias"),
    *_relative_bias("shared_rel_pos", "relative_bias"),
    row(
        f"{_ATTENTION}.relative_position_bias_table",  # BEiT's names
        f"{BLOCK}/attention/relative_bias/table",
    ),
    row("rel_pos_bias.relative_position_bias_table", "relative_bias/table"),
    row(
        "rope.freqs",
        f"{BLOCK}/attention/rotary/frequencies",
        "columns_first",
        stacked=1,
    ),
    *torch_norm("blocks.{i}.attn.norm", f"{BLOCK}/attention/output_norm"),
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
    # EVA and AIMv2 have gate and value in a matrix each.
    *linear(["blocks.{i}.mlp.fc1_g", "blocks.{i}.mlp.fc1_x"], f"{BLOCK}/mlp/hidden"),
    *linear(["blocks.{i}.mlp.w1", "blocks.{i}.mlp.w2"], f"{BLOCK}/mlp/hidden"),
    *torch_norm("blocks.{i}.mlp.norm", f"{BLOCK}/mlp/output_norm"),
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
    row("visual.head.proj.weight", "projection/kernel", "linear"),
)
