"""Small models of every kind, each built once."""

import functools

import numpy as np
import pytest

from keras_vit import HybridConfig, VisionTransformer, VisionTransformerConfig
from keras_vit.models.relative_bias_config import RelativeBiasConfig
from keras_vit.models.rotary_config import RotaryConfig

TINY = {
    "image_size": (8, 12), "patch_size": 4, "hidden_size": 16, "num_layers": 3, "num_heads": 2,
    "mlp_dim": 24, "num_classes": 5,
}  # fmt: skip
KINDS = {
    "class token": {},
    "registers": {"num_register_tokens": 3},
    "distilled": {"distillation_token": True, "pooling": "token+distillation"},
    "mean": {"class_token": False, "pooling": "gap"},
    "mean with class token, norm last": {"pooling": "gap", "final_norm": "pooled"},
    "mean of all": {"pooling": "gap", "pooling_includes_prefix_tokens": True},
    "maximum": {"class_token": False, "pooling": "max"},
    "token and mean": {"pooling": "token+gap"},
    "probe": {"class_token": False, "pooling": "map"},
    "no pooling": {"pooling": "none", "num_classes": 0},
    "no pooling, no class token": {"pooling": "none", "num_classes": 0, "class_token": False},
    "any size": {"dynamic_image_size": True, "image_size": (8, 8)},
    "CLIP": {"pre_norm": True, "patch_bias": False, "gelu": "quick", "projection_size": 7},
    "DINOv2": {"layer_scale": True, "layer_scale_init": 0.5, "mlp": "swiglu", "qk_norm": True},
    "fixed positions, pre-logits": {"position_embedding": "sincos2d", "pre_logits_size": 6},
    "hybrid": {"patch_size": 1, "hybrid": HybridConfig(stem_width=8, group_norm_groups=2)},
    "DINOv3": {
        "position_embedding": "none",
        "rotary": RotaryConfig(scale="centred"),
        "num_register_tokens": 2,
        "layer_scale": True,
        "layer_scale_init": 0.5,
    },
    "EVA": {
        "rotary": RotaryConfig(reference_grid=4, pairs="neighbours"),
        "mlp": "swiglu",
        "attention_inner_norm": True,
        "mlp_inner_norm": True,
    },
    "Perception Encoder": {
        "rotary": RotaryConfig(offset=1.0, order="xy"),
        "pooling": "map",
        "pooling_num_heads": 4,
        "pooling_includes_prefix_tokens": True,
    },
    "BEiT": {"position_embedding": "none", "relative_position_bias": RelativeBiasConfig()},
    "merging": {"token_merging": 2},
    "merging, mean": {"token_merging": (0, 2, 1), "pooling": "gap"},
    "merging, probe": {"token_merging": 1, "class_token": False, "pooling": "map"},
    "merging, DINOv3": {
        "rotary": RotaryConfig(scale="centred"),
        "num_register_tokens": 2,
        "token_merging": 2,
    },
    "merging, no pooling": {"token_merging": 2, "pooling": "none", "num_classes": 0},
}


def build(dtype=None, **fields):
    """A model of 2 x 3 patches with random weights, the same each time."""
    model = VisionTransformer(VisionTransformerConfig(**{**TINY, **fields}), dtype=dtype)
    random = np.random.default_rng(0)
    for variable in model.weights:
        values = random.standard_normal(variable.shape) * 0.3
        variable.assign(values + (1 if variable.path.endswith("gamma") else 0))
    return model


@functools.cache
def _shared(fields):
    return build(**dict(fields))


@pytest.fixture(scope="session")
def make():
    """Makes a model by its fields, once; whoever changes its weights makes another with `build`."""

    def made(kind=None, **fields):
        return _shared(tuple(sorted({**KINDS.get(kind, {}), **fields}.items(), key=str)))

    made.build = build
    return made


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.replace(" ", "-"))
def model(request, make):
    """One model of each kind."""
    return make(request.param)


@pytest.fixture(scope="session")
def images():
    """Makes prepared images."""

    def made(count=2, height=8, width=12, channels=3, seed=1):
        shape = (count, height, width, channels)
        return np.random.default_rng(seed).standard_normal(shape, "float32")

    return made
