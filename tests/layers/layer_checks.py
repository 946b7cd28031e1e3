"""The one check that every layer passes, and the table of layers it is run on.

Run as a program it computes the outputs of all cases on the backend of the environment and writes
them to an `.npz`. On JAX it wrote `../fixtures/layers.npz`, with which every backend is compared.
"""

import sys

import keras
import numpy as np
from keras import ops

from keras_vit import layers
from keras_vit.layers.attention_pooling import ProbeAttention
from keras_vit.layers.resnet_stem import BottleneckUnit, ResNetStage

STYLE = {
    "group_norm_groups": 4,
    "group_norm_epsilon": 1e-6,
    "weight_standardization": "std_plus_epsilon",
    "weight_standardization_epsilon": 1e-5,
}
TOKENS = (2, 7, 12)
IMAGES = (2, 8, 12, 3)

# name: (class, arguments, input shapes, output shape)
CASES = {
    "patches": (layers.Patches, {"patch_size": 4}, [IMAGES], (2, 2, 3, 48)),
    "patches without the rest": (
        layers.Patches,
        {"patch_size": 5, "drop_remainder": True},
        [IMAGES],
        (2, 1, 2, 75),
    ),
    "patch grid": (
        layers.PatchGrid,
        {"stride": 4, "num_prefix_tokens": 1},
        [TOKENS, IMAGES],
        (2, 2, 3, 12),
    ),
    "patches of one": (layers.Patches, {"patch_size": 1}, [IMAGES], IMAGES),
    "patch encoder": (layers.PatchEncoder, {"hidden_size": 12}, [(2, 2, 3, 48)], (2, 7, 12)),
    "patch encoder, all tokens": (
        layers.PatchEncoder,
        {
            "hidden_size": 12,
            "use_bias": False,
            "distillation_token": True,
            "num_register_tokens": 3,
            "position_embedding_prefix_rows": 2,
            "grid_size": (3, 3),
            "interpolation": "bicubic",
        },
        [(2, 2, 3, 48)],
        (2, 11, 12),
    ),
    "patch encoder, sincos2d": (
        layers.PatchEncoder,
        {
            "hidden_size": 12,
            "class_token": False,
            "position_embedding": "sincos2d",
            "position_embedding_prefix_rows": 0,
        },
        [(2, 2, 3, 48)],
        (2, 6, 12),
    ),
    "attention": (layers.MultiHeadSelfAttention, {"num_heads": 3}, [TOKENS], TOKENS),
    "attention, qk norm": (
        layers.MultiHeadSelfAttention,
        {"num_heads": 2, "qk_norm": True, "use_bias": False, "dropout_rate": 0.1},
        [TOKENS],
        TOKENS,
    ),
    "attention, joint qk norm": (
        layers.MultiHeadSelfAttention,
        {"num_heads": 2, "qk_norm": "joint", "norm": "rms"},
        [TOKENS],
        TOKENS,
    ),
    "mlp tanh": (layers.Mlp, {"mlp_dim": 20, "gelu": "tanh"}, [TOKENS], TOKENS),
    "mlp erf": (layers.Mlp, {"mlp_dim": 20, "gelu": "erf"}, [TOKENS], TOKENS),
    "mlp quick": (layers.Mlp, {"mlp_dim": 20, "gelu": "quick"}, [(2, 12)], (2, 12)),
    "mlp relu": (layers.Mlp, {"mlp_dim": 20, "kind": "relu"}, [TOKENS], TOKENS),
    "mlp swiglu": (layers.Mlp, {"mlp_dim": 20, "kind": "swiglu"}, [TOKENS], TOKENS),
    "block": (layers.TransformerBlock, {"num_heads": 3, "mlp_dim": 20}, [TOKENS], TOKENS),
    "block, everything": (
        layers.TransformerBlock,
        {
            "num_heads": 3,
            "mlp_dim": 20,
            "mlp": "swiglu",
            "qk_norm": True,
            "layer_scale_init": 0.1,
            "dropout_rate": 0.1,
            "attention_dropout_rate": 0.1,
            "drop_path_rate": 0.1,
        },
        [TOKENS],
        TOKENS,
    ),
    "attention, inner norm": (
        layers.MultiHeadSelfAttention,
        {"num_heads": 3, "norm": "rms", "output_bias": False, "inner_norm": True},
        [TOKENS],
        TOKENS,
    ),
    "mlp, inner norm": (
        layers.Mlp,
        {"mlp_dim": 20, "kind": "swiglu", "inner_norm": True, "epsilon": 1e-5, "use_bias": False},
        [TOKENS],
        TOKENS,
    ),
    "rms norm": (layers.RMSNormalization, {"epsilon": 1e-5}, [TOKENS], TOKENS),
    "drop path": (layers.DropPath, {"rate": 0.3, "seed": 1}, [TOKENS], TOKENS),
    "layer scale": (layers.LayerScale, {"initial_value": 0.1}, [TOKENS], TOKENS),
    "attention pooling": (
        layers.AttentionPooling,
        {"num_heads": 3, "mlp_dim": 20, "skipped_tokens": 1},
        [TOKENS],
        (2, 12),
    ),
    "probe attention": (ProbeAttention, {"num_heads": 3}, [(2, 4, 12), TOKENS], (2, 4, 12)),
    "pooling token": (layers.TokenPooling, {"mode": "token"}, [TOKENS], (2, 12)),
    "pooling gap": (layers.TokenPooling, {"mode": "gap"}, [TOKENS], (2, 12)),
    "pooling max": (
        layers.TokenPooling,
        {"mode": "max", "include_prefix_tokens": True},
        [TOKENS],
        (2, 12),
    ),
    "pooling token+gap": (layers.TokenPooling, {"mode": "token+gap"}, [TOKENS], (2, 24)),
    "pooling token+distillation": (
        layers.TokenPooling,
        {"mode": "token+distillation", "num_prefix_tokens": 2},
        [TOKENS],
        (2, 24),
    ),
    "distilled head": (layers.DistilledHead, {"classes": 5}, [(2, 24)], (2, 5)),
    "standardized conv": (
        layers.StandardizedConv2D,
        {"filters": 4, "kernel_size": 3, "strides": 2},
        [(2, 7, 8, 3)],
        (2, 4, 4, 4),
    ),
    "bottleneck unit": (
        BottleneckUnit,
        {"width": 4, "strides": 2, **STYLE},
        [(2, 6, 7, 8)],
        (2, 3, 4, 16),
    ),
    "resnet stage": (
        ResNetStage,
        {"num_units": 2, "width": 4, **STYLE},
        [(2, 6, 6, 8)],
        (2, 6, 6, 16),
    ),
    "resnet stem": (
        layers.ResNetStem,
        {
            "stem_width": 4,
            "units_per_stage": (1, 2),
            **STYLE,
            "weight_standardization": "variance_plus_epsilon",
        },
        [(2, 16, 32, 3)],
        (2, 2, 4, 32),
    ),
}


def make(name, dtype=None):
    """Builds the layer of a case with every weight random, and its inputs."""
    cls, arguments, shapes, _ = CASES[name]
    keras.utils.set_random_seed(0)  # of what the layer drops
    generator = np.random.default_rng(len(name))
    layer = cls(**arguments, dtype=dtype)
    layer.build(*shapes)
    for weight in layer.weights:
        if weight.dtype.startswith(("float", "bfloat")):
            weight.assign(generator.normal(size=weight.shape) * 0.3)
    return layer, [generator.normal(size=shape).astype("float32") for shape in shapes]


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def main(path):
    outputs = {}
    for name in CASES:
        layer, inputs = make(name)
        outputs[name] = as_numpy(layer(*inputs))
    np.savez_compressed(path, **outputs)


if __name__ == "__main__":
    main(sys.argv[1])
