"""The table of variants: a row each, with the table of the paper that it comes from.

The number of parameters that pins each row stands in `tests/applications/factories_test.py`.
"""

import fnmatch

from keras_vit.checks import check_name
from keras_vit.models.config import HybridConfig, VisionTransformerConfig


def _row(patch_size, hidden_size, mlp_dim, num_heads, num_layers, **fields):
    return VisionTransformerConfig(
        patch_size=patch_size,
        hidden_size=hidden_size,
        mlp_dim=mlp_dim,
        num_heads=num_heads,
        num_layers=num_layers,
        **fields,
    )


_DEIT = {"gelu": "erf", "position_embedding_interpolation": "bicubic_antialias"}
_DEIT3 = {**_DEIT, "layer_scale": True, "position_embedding_prefix_rows": 0}
_DINOV2 = {
    "image_size": 518,
    "num_classes": 0,
    "gelu": "erf",
    "layer_scale": True,
    "position_embedding_interpolation": "bicubic",
}
_SIGLIP = {
    "num_classes": 0,
    "class_token": False,
    "pooling": "map",
    "position_embedding_interpolation": "bicubic",
}
_CLIP = {
    "num_classes": 0,
    "gelu": "quick",
    "layer_norm_epsilon": 1e-5,
    "patch_bias": False,
    "pre_norm": True,
    "position_embedding_interpolation": "bicubic",
}

_DINOV3 = {
    "key_bias": False,
    "num_classes": 0,
    "gelu": "erf",
    "layer_norm_epsilon": 1e-5,
    "layer_scale": True,
    "num_register_tokens": 4,
    "position_embedding": "none",
    "rotary": {"base": 100.0, "scale": "centred", "rescale": 2.0},
}
_DINOV3_GATED = {**_DINOV3, "gelu": None, "mlp": "swiglu"}
_EVA02 = {
    "key_bias": False,
    "gelu": None,
    "mlp": "swiglu",
    "pooling": "gap",
    "final_norm": "pooled",
    "position_embedding_interpolation": "bicubic_antialias",
    "rotary": {"base": 10000.0, "reference_grid": (16, 16), "pairs": "neighbours"},
}

_BEIT = {
    "key_bias": False,
    "gelu": "erf",
    "layer_scale": True,
    "pooling": "gap",
    "final_norm": "pooled",
    "position_embedding": "none",
    "relative_position_bias": {"interpolation": "geometric"},
}

_SBB = {
    "image_size": 256,
    "gelu": "erf",
    "class_token": False,
    "num_register_tokens": 4,
    "pooling": "gap",
    "position_embedding_interpolation": "bicubic_antialias",
}
_SBB_SCALED = {**_SBB, "layer_scale": True, "final_norm": "pooled"}


def _perception(grid, **fields):
    rotary = {
        "base": 10000.0, "offset": 1.0, "reference_grid": (grid, grid), "pairs": "neighbours",
        "order": "xy",
    }  # fmt: skip
    return {
        "num_classes": 0, "gelu": "erf", "layer_norm_epsilon": 1e-5, "patch_bias": False,
        "pre_norm": True, "pooling": "map", "pooling_includes_prefix_tokens": True,
        "pooling_num_heads": 8, "position_embedding_interpolation": "bicubic_antialias",
        "rotary": {**rotary, **fields.pop("rotary", {})}, **fields,
    }  # fmt: skip


VARIANTS: dict[str, VisionTransformerConfig] = {
    # "An Image is Worth 16x16 Words" (arXiv 2010.11929), Table 1; Ti and S: "How to train your
    # ViT?" (arXiv 2106.10270), Table 1; g and G: "Scaling Vision Transformers" (arXiv 2106.04560),
    # Table 2.
    "ViT_Ti16": _row(16, 192, 768, 3, 12),
    "ViT_S32": _row(32, 384, 1536, 6, 12),
    "ViT_S16": _row(16, 384, 1536, 6, 12),
    "ViT_S8": _row(8, 384, 1536, 6, 12),
    "ViT_B32": _row(32, 768, 3072, 12, 12),
    "ViT_B16": _row(16, 768, 3072, 12, 12),
    "ViT_B8": _row(8, 768, 3072, 12, 12),
    "ViT_L32": _row(32, 1024, 4096, 16, 24),
    "ViT_L16": _row(16, 1024, 4096, 16, 24, dropout_rate=0.1),
    "ViT_H14": _row(14, 1280, 5120, 16, 32, dropout_rate=0.1),
    "ViT_g14": _row(14, 1408, 6144, 16, 40),
    "ViT_G14": _row(14, 1664, 8192, 16, 48),
    # Hybrids: arXiv 2106.10270, Table 1, and arXiv 2010.11929, section 3.1. The number behind the
    # slash counts pixels to a patch, except in R+Ti/16, whose patches are 32 pixels apart.
    "R_Ti16": _row(8, 192, 768, 3, 12, hybrid=HybridConfig()),
    "R26_S32": _row(1, 384, 1536, 6, 12, hybrid=HybridConfig(units_per_stage=(2, 2, 2, 2))),
    "R50_B16": _row(
        1, 768, 3072, 12, 12, hybrid=HybridConfig(units_per_stage=(3, 4, 9)), dropout_rate=0.1
    ),
    "R50_L32": _row(1, 1024, 4096, 16, 24, hybrid=HybridConfig(units_per_stage=(3, 4, 6, 3))),
    # "Training data-efficient image transformers" (arXiv 2012.12877), Table 1.
    "DeiT_Ti16": _row(16, 192, 768, 3, 12, **_DEIT),
    "DeiT_S16": _row(16, 384, 1536, 6, 12, **_DEIT),
    "DeiT_B16": _row(16, 768, 3072, 12, 12, **_DEIT),
    # "DeiT III: Revenge of the ViT" (arXiv 2204.07118), Table 1.
    "DeiT3_S16": _row(16, 384, 1536, 6, 12, **_DEIT3),
    "DeiT3_B16": _row(16, 768, 3072, 12, 12, **_DEIT3),
    "DeiT3_L16": _row(16, 1024, 4096, 16, 24, **_DEIT3),
    "DeiT3_H14": _row(14, 1280, 5120, 16, 32, **_DEIT3),
    # "DINOv2" (arXiv 2304.07193), Table 16; released at 518 px.
    "DINOv2_S14": _row(14, 384, 1536, 6, 12, **_DINOV2),
    "DINOv2_B14": _row(14, 768, 3072, 12, 12, **_DINOV2),
    "DINOv2_L14": _row(14, 1024, 4096, 16, 24, **_DINOV2),
    "DINOv2_g14": _row(14, 1536, 4096, 24, 40, **{**_DINOV2, "mlp": "swiglu", "gelu": None}),
    # "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343); So400m: arXiv 2305.13035.
    "SigLIP_B16": _row(16, 768, 3072, 12, 12, **_SIGLIP),
    "SigLIP_L16": _row(16, 1024, 4096, 16, 24, image_size=256, **_SIGLIP),
    "SigLIP_So400m14": _row(14, 1152, 4304, 16, 27, **_SIGLIP),
    # "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020),
    # Table 20; the projection makes the image embedding.
    "CLIP_B32": _row(32, 768, 3072, 12, 12, projection_size=512, **_CLIP),
    "CLIP_B16": _row(16, 768, 3072, 12, 12, projection_size=512, **_CLIP),
    "CLIP_L14": _row(14, 1024, 4096, 16, 24, projection_size=768, **_CLIP),
    # "DINOv3" (arXiv 2508.10104), Table 17 and the configs of its released files.
    "DINOv3_S16": _row(16, 384, 1536, 6, 12, **_DINOV3),
    "DINOv3_S16plus": _row(16, 384, 1536, 6, 12, **_DINOV3_GATED),
    "DINOv3_B16": _row(16, 768, 3072, 12, 12, **_DINOV3),
    "DINOv3_L16": _row(16, 1024, 4096, 16, 24, **_DINOV3),
    "DINOv3_H16plus": _row(16, 1280, 5120, 20, 32, **_DINOV3_GATED),
    "DINOv3_7B16": _row(
        16, 4096, 8192, 32, 40, **{**_DINOV3_GATED, "qkv_bias": False, "key_bias": True}
    ),
    # "EVA-02" (arXiv 2303.11331), Table 1; at the size that each was fine-tuned at.
    "EVA02_Ti14": _row(14, 192, 512, 3, 12, image_size=336, **_EVA02),
    "EVA02_S14": _row(14, 384, 1024, 6, 12, image_size=336, **_EVA02),
    "EVA02_B14": _row(14, 768, 2048, 12, 12, image_size=448, mlp_inner_norm=True, **_EVA02),
    "EVA02_L14": _row(14, 1024, 2730, 16, 24, image_size=448, mlp_inner_norm=True, **_EVA02),
    # "BEiT v2" (arXiv 2208.06366), section 3.1; the same as those of "BEiT" (arXiv 2106.08254).
    "BEiT_B16": _row(16, 768, 3072, 12, 12, **_BEIT),
    "BEiT_L16": _row(16, 1024, 4096, 16, 24, **_BEIT),
    # timm's "Searching for Better ViT Baselines"; "Getting ViT in Shape" (arXiv 2305.13035) for
    # SO150M, whose registers have positions.
    "SBB_Little16": _row(16, 320, 1792, 5, 14, **{**_SBB_SCALED, "num_register_tokens": 1}),
    "SBB_Medium16": _row(16, 512, 2048, 8, 12, **_SBB_SCALED),
    "SBB_MediumD16": _row(16, 512, 2048, 8, 20, **_SBB_SCALED),
    "SBB_Betwixt16": _row(16, 640, 2560, 10, 12, **_SBB_SCALED),
    "SBB_SO150M16": _row(16, 896, 2304, 14, 18, position_embedding_prefix_rows=4, **_SBB),
    "SBB_SO150M2_16": _row(
        16,
        832,
        2176,
        13,
        21,
        qkv_bias=False,
        position_embedding_prefix_rows=1,
        **{**_SBB_SCALED, "num_register_tokens": 1},
    ),  # fmt: skip
    # "SigLIP 2" (arXiv 2502.14786), section 2; g is `giant-opt` among its files.
    "SigLIP2_B32": _row(32, 768, 3072, 12, 12, image_size=256, **_SIGLIP),
    "SigLIP2_B16": _row(16, 768, 3072, 12, 12, **_SIGLIP),
    "SigLIP2_L16": _row(16, 1024, 4096, 16, 24, image_size=256, **_SIGLIP),
    "SigLIP2_So400m14": _row(14, 1152, 4304, 16, 27, **_SIGLIP),
    "SigLIP2_So400m16": _row(16, 1152, 4304, 16, 27, image_size=256, **_SIGLIP),
    "SigLIP2_g16": _row(16, 1536, 6144, 16, 40, image_size=256, **_SIGLIP),
    # "Perception Encoder" (arXiv 2504.13181), Table 18; the projection makes the image embedding.
    "PE_Core_Ti16": _row(
        16, 192, 768, 3, 12, image_size=384, **_perception(24, projection_size=512)
    ),
    "PE_Core_S16": _row(
        16, 384, 1536, 6, 12, image_size=384, **_perception(24, projection_size=512)
    ),
    "PE_Core_B16": _row(16, 768, 3072, 12, 12, **_perception(14, projection_size=1024)),
    "PE_Core_L14": _row(
        14, 1024, 4096, 16, 24, image_size=336, **_perception(24, projection_size=1024)
    ),
    "PE_Core_G14": _row(
        14,
        1536,
        8960,
        16,
        50,
        image_size=448,
        class_token=False,
        pooling_mlp_dim=6144,
        **_perception(32, projection_size=1280, rotary={"offset": 0.0}),
    ),  # fmt: skip
}


def get_variant(name: str) -> VisionTransformerConfig:
    """Returns the config of a variant.

    Raises:
        ValueError: an unknown name; the error lists the nearest ones.
    """
    check_name("the name of a variant", name, VARIANTS)
    return VARIANTS[name]


def list_models(pattern: str | None = None) -> list[str]:
    """Returns the names of the model factories, in the order of the table.

    Args:
        pattern: keep the names that match this shell-style pattern, upper and lower case alike
            (`"ViT_*16"`); None keeps all.

    Returns:
        The names, each that of a function `keras_vit.<name>`.
    """
    return [
        name
        for name in VARIANTS
        if pattern is None or fnmatch.fnmatch(name.lower(), pattern.lower())
    ]
