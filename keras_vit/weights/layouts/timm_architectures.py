"""What timm's name for a model tells of it, in the words of timm's own arguments.

Of these arguments stands here what no array tells.
"""

import re
from typing import Any

# Names of architectures that this package can build in part alone, and why; the first that fits.
_FOREIGN = (
    (r"sapiens", "grouped queries"),
    (r"_rpn_|^eva02_enormous", "post-norm blocks"),
    (r"^cait_", "class attention"),
    (r"^convit_", "gated positional attention"),
    (r"^samvit_", "windowed attention with relative position bias"),
    (r"^naflexvit_\w*_parfac_", "factorised positions"),
    (r"_d(pwee|wee|little)_", "differential attention"),
    (r"_xp_|_pwee_|_\d+x2_", "parallel blocks"),
    (r"_mci_|resnet(26|50)d", "a stem with batch normalisation"),
)
_KNOWN = r"(aimv2|beit(3|v2)?|deit3?|eva(02)?|(naflex|flexi)vit|test_vit|vit)\d?_\w*|test_vit\d?"
# Heads by the word for the size in a name; the first that fits.
_HEADS = (
    (r"base_patch16_gap_224$", 16),
    (r"giant_patch1[46]_(reg\d_)?(dinov2|tipsv2|lingbot|radio)", 24),
    (r"aimv2_3b", 24),
    (r"aimv2_huge", 12),
    (r"aimv2_large|small_resnet", 8),
    (r"^test_vit([34]|_relpos)$", 3),
    (r"^test_vit2?$", 2),
    (r"_7b_", 32),
    (r"_huge_plus", 20),
    (r"_base_patch\d+_plus", 14),
    (r"_tiny", 3),
    (r"_(xsmall|wee)", 4),
    (r"_little", 5),
    (r"_small", 6),
    (r"_medium", 8),
    (r"_betwixt", 10),
    (r"_base", 12),
    (r"_so150m2", 13),
    (r"_so150m", 14),
    (r"_(large|huge|giant|gigantic|giantopt|so400m|1b|intern300m)", 16),
)
_TANH = (
    r"base_patch32_siglip|large_patch16_siglip(_gap)?_512|so400m_patch16_siglip"
    r"|giantopt_patch16_siglip"
)
_NAVER = {"use_rot_pos_emb": True, "rope_grid_indexing": "xy", "rope_temperature": 100.0}
# Arguments of what a name fits; a later row takes the place of an earlier one.
_ARGUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    (r"quickgelu", {"act_layer": "quick_gelu"}),
    (_TANH, {"act_layer": "gelu_tanh"}),
    (r"^test_vit3$", {"pool_include_prefix": True}),
    (r"^test_vit4$", {"norm_layer": "rmsnorm"}),
    (
        r"^naflexvit_\w*_siglip",
        {"act_layer": "gelu_tanh", "pos_embed_interp_mode": "bilinear"},
    ),
    (
        r"^naflexvit_\w*_radio",
        {"pos_embed_interp_mode": "bilinear", "pos_embed_antialias": False},
    ),
    (r"^naflexvit_(base|huge)_patch16_radio_v3", {"pos_embed_align_corners": True}),
    (r"^naflexvit_\w*_(radio|par_)", {"pos_embed_ar_preserving": True}),
    (r"radio|intern300m", {"final_norm": False}),
    (r"^aimv2_", {"norm_layer": "rmsnorm"}),
    (r"^vit_\w*_clip_|dinov3|lingbot|_pe_|^beit3_|^aimv2_", {"norm_epsilon": 1e-5}),
    (
        r"dinov3|lingbot",
        {
            "use_rot_pos_emb": True,
            "rope_type": "dinov3",
            "rope_temperature": 100.0,
            "rope_rotate_half": True,
            "global_pool": "avg",
        },
    ),
    (r"lingbot", {"global_pool": "token"}),
    (r"_rope_(ape_)?\d+$", _NAVER),
    (r"_rope_mixed_", {**_NAVER, "rope_type": "mixed", "rope_temperature": 10.0}),
    (r"_rope_reg\d_|^eva02_", {"use_rot_pos_emb": True, "ref_feat_shape": 16}),
    (
        r"_pe_",
        {
            "use_rot_pos_emb": True,
            "rope_grid_indexing": "xy",
            "use_post_transformer_norm": False,
            "use_fc_norm": False,
        },
    ),
    (r"_pe_(?!\w*gigantic)", {"rope_grid_offset": 1.0}),
    (
        r"_pe_core_",
        {
            "use_post_transformer_norm": True,
            "attn_pool_num_heads": 8,
            "pool_include_prefix": True,
        },
    ),
    (r"_pe_(lang|spatial)_", {"global_pool": "avg"}),
)


def foreign_feature(architecture: str) -> str | None:
    """Returns what a model has that this package does not, by timm's name for it."""
    return next((what for pattern, what in _FOREIGN if re.search(pattern, architecture)), None)


def is_known(architecture: str) -> bool:
    """Whether a name tells anything of a model."""
    return _heads(architecture) is not None and re.fullmatch(_KNOWN, architecture) is not None


def published_arguments(architecture: str) -> dict[str, Any]:
    """Returns the arguments of timm's class that a name stands for and no array tells.

    Returns:
        Values by timm's names, and `norm_epsilon`, which timm has inside of `norm_layer`; nothing
        for a name that is not known.
    """
    if not is_known(architecture):
        return {}
    arguments = {"num_heads": _heads(architecture), "norm_epsilon": 1e-6, "act_layer": "gelu"}
    for pattern, more in _ARGUMENTS:
        if re.search(pattern, architecture):
            arguments.update(more)
    size = re.search(r"_pe_\w*_patch(\d+)_(\d+)$", architecture)
    if size:  # positions are counted on the grid that the model was trained at
        arguments["ref_feat_shape"] = int(size[2]) // int(size[1])
    return arguments


def _heads(architecture: str) -> int | None:
    return next((n for pattern, n in _HEADS if re.search(pattern, architecture)), None)
