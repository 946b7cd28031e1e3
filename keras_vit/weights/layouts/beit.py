"""BEiT of transformers and its kin: InternVL's tower, read and not written."""

from __future__ import annotations

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.transformers import (
    EMBEDDINGS,
    Family,
    TransformersLayout,
    own_config,
)
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER = "encoder.layer.{i}"
_SCALES = (
    row(f"{_LAYER}.lambda_1", f"{BLOCK}/attention_scale/gamma"),
    row(f"{_LAYER}.lambda_2", f"{BLOCK}/mlp_scale/gamma"),
)


class InternVLLayout(TransformersLayout):
    """`InternVLVisionModel`, alone or in front of a language model."""

    signature = "embeddings.patch_embeddings.projection.weight"
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


INTERNVL = InternVLLayout()
