"""Features that this package does not have, found by the names that only they bring."""

import re
from collections.abc import Iterable, Sequence

# Patterns of names in files, and what they mean in the field's words.
_STORED = (
    (r"relative_position|rel_pos|decomposed", "relative position bias"),
    (r"rope|freqs|inv_freq|rotary|periods", "rotary positions"),
    (r"\.[qv]_bias$", "separate biases of query and value"),
    (r"\.(fc1_[gx]|w[12]|(gate|up)_proj)\.", "gated MLP of unpacked matrices"),
    (r"\.mlp\.(norm|ffn_ln)\.", "SwiGLU with inner norm"),
    (r"\.attn\.(norm|inner_attn_ln)\.", "a norm inside attention"),
    (r"blocks_token_only", "class attention"),
    (r"gating_param|pos_proj", "gated positional attention"),
    (r"\.lambda_(q|k|init)", "differential attention"),
    (r"blocks\.\d+\.((attns|ffns)\.|in_proj|mlp_out_proj|attn_out_proj)", "parallel blocks"),
    (r"running_(mean|var)", "batch normalisation"),
    (r"(^|\.)embeds\.", "a linear patch embedding of any grid (NaFlex)"),
    (r"patch_generator|cls_token\.", "patch generator of RADIO"),
    (r"(^|\.)neck\.", "windowed attention with a neck"),
    (r"detection_tokens", "detection tokens"),
    (r"\.(experts|moe)\.", "experts"),
    (r"patch_embed\.norm|norm_embed|embed\w*\.(rms_?)?norm", "a norm in the patch embedding"),
    (r"(^|\.)head\.(cls_token|output_proj)", "attention pooling without a query matrix"),
    (r"message_(ln|fc|attn)", "attention across the frames of a video"),
    (r"attn_pool\.qkv|attn_pool\.norm_", "pooling by patch representation refinement"),
)
# Patterns of canonical names that a file lacks, and what that means.
_MISSING = (
    (r"^encoder_block_\d+/attention_norm/beta$", "RMSNorm"),
    (r"^encoder_block_\d+/attention/output/bias$", "attention without a bias of its output"),
    (r"^encoder_norm/gamma$", "no final norm"),
    (r"^patch_encoder/position_embedding$", "no stored position embedding"),
)


def stored_features(names: Iterable[str]) -> list[str]:
    """Names the features that some names in a file stand for.

    Returns:
        A line each, such as `"rotary positions (blocks.0.attn.rope.freqs)"`.
    """
    return _search(names, _STORED, "{}")


def missing_features(names: Iterable[str]) -> list[str]:
    """Names the features that the lack of some variables stands for.

    Returns:
        A line each, such as `"no final norm (nothing makes encoder_norm/gamma)"`.
    """
    return _search(names, _MISSING, "nothing makes {}")


def _search(names: Iterable[str], table: Sequence[tuple[str, str]], reason: str) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        for pattern, feature in table:
            if feature not in found and re.search(pattern, name):
                found[feature] = f"{feature} ({reason.format(name)})"
    return list(found.values())


def foreign_model(path: str, features: Iterable[str]) -> ValueError:
    """Returns the error for a model with features that this package does not have."""
    return ValueError(
        f"Expected a Vision Transformer that this package can build in {path!r}. "
        f"Received: {'; '.join(features)}."
    )
