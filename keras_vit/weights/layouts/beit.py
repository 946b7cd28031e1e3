"""BEiT, Data2Vec and InternVL's tower of transformers; read, not written."""

from __future__ import annotations

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.transformers import (
    EMBEDDINGS,
    Family,
    TransformersLayout,
    own_config,
)
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER = "encoder.layer.{i}"
_ATTENTION, _QKV = f"{_LAYER}.attention.attention", ("query", "key", "value")
_PATCHES = "embeddings.patch_embeddings.projection.weight"
_SCALES = (
    row(f"{_LAYER}.lambda_1", f"{BLOCK}/attention_scale/gamma"),
    row(f"{_LAYER}.lambda_2", f"{BLOCK}/mlp_scale/gamma"),
)


_BEIT = Family(
    "beit",
    "BeitModel",
    "BeitForImageClassification",
    "beit.",
    preprocessing={"resampling": "bicubic"},
)


class BeitLayout(TransformersLayout):
    """`BeitModel`, `Data2VecVisionModel` and the same with a head."""

    signature = _PATCHES
    prefixes = ("beit.", "data2vec_vision.", "")
    families = (_BEIT, *_BEIT.named("data2vec-vision"))
    rows = (
        *EMBEDDINGS,
        *torch_norm(f"{_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        row([f"{_ATTENTION}.{p}.weight" for p in _QKV], f"{BLOCK}/attention/qkv/kernel", "linear"),
        row([f"{_ATTENTION}.{p}.bias" for p in _QKV[::2]], f"{BLOCK}/attention/qkv/bias", gap=1),
        *linear(f"{_LAYER}.attention.output.dense", f"{BLOCK}/attention/output"),
        *torch_norm(f"{_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.intermediate.dense", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.output.dense", f"{BLOCK}/mlp/output"),
        *_SCALES,
        *torch_norm("layernorm", "encoder_norm"),
        *torch_norm("pooler.layernorm", "encoder_norm"),
        *linear("classifier", "head"),
    )

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        norm = bound.find("encoder_norm/gamma")
        pooled = norm is not None and "pooler." in norm.sources[0]
        own_config(bound.file, given).agree("use_mean_pooling", pooled, "pooling")
        if pooled:
            told.update(pooling="gap", final_norm="pooled")
        if POSITIONS not in bound.shapes:
            told["position_embedding"] = "none"
        return told

    def suits(self, config):
        return False


class InternVLLayout(TransformersLayout):
    """`InternVLVisionModel`, alone or in front of a language model."""

    signature = _PATCHES
    prefixes = ("vision_tower.", "")
    families = (
        Family(
            "internvl_vision",
            "InternVLVisionModel",
            "",
            "",
            epsilon=1e-6,
            heads=16,
            pooling="none",
            preprocessing={**STATISTICS["imagenet"], "resampling": "bicubic"},
        ),
    )
    rows = (
        *EMBEDDINGS,
        *torch_norm(f"{_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        *linear([f"{_LAYER}.attention.{p}_proj" for p in "qkv"], f"{BLOCK}/attention/qkv"),
        *linear(f"{_LAYER}.attention.projection_layer", f"{BLOCK}/attention/output"),
        *torch_norm(f"{_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *_SCALES,
        *torch_norm("layernorm", "encoder_norm"),
    )
    ignored = (*TransformersLayout.ignored, r"(language_model|multi_modal_projector)\..*")

    def suits(self, config):
        return False

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        stated = own_config(bound.file, given)
        stated.must_be("norm_type", "layer_norm", "other norms in the blocks of InternVL")
        if stated.flag("use_mean_pooling", True):
            told["final_norm"] = "none"
        return told


BEIT, INTERNVL = BeitLayout(), InternVLLayout()
