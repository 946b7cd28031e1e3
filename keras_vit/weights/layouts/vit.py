"""ViT, DeiT and I-JEPA of transformers."""

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.transformers import (
    EMBEDDINGS,
    IGNORED,
    Family,
    TransformersLayout,
    attention_rows,
)
from keras_vit.weights.rows import BLOCK, linear, torch_norm

_LAYER, _V5_LAYER = "encoder.layer.{i}", "layers.{i}"
_VIT = Family("vit", "ViTModel", "ViTForImageClassification", "vit.")
_DEIT = Family(
    "deit",
    "DeiTModel",
    "DeiTForImageClassification",
    "deit.",
    preprocessing={
        **STATISTICS["imagenet"],
        "resampling": "bicubic",
        "resize": "crop",
        "crop_fraction": 224 / 256,
    },
)
_IJEPA = Family("ijepa", "IJepaModel", "IJepaForImageClassification", "ijepa.")


class VitLayout(TransformersLayout):
    """`ViTModel`, `DeiTModel`, `IJepaModel` and the same with a head, one of DeiT's with two."""

    signature = "embeddings.patch_embeddings.projection.weight"
    prefixes = ("vit.", "deit.", "ijepa.", "dpt.", "")
    families = (
        _VIT,
        _DEIT,
        _IJEPA,
        *_VIT.named("vit_mae", "dpt", "flava_image_model"),
        *_VIT.named("vit_msn", epsilon=1e-6),
    )
    rows = (
        *EMBEDDINGS,
        *torch_norm(f"{_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        *torch_norm(f"{_V5_LAYER}.layernorm_before", f"{BLOCK}/attention_norm"),
        *attention_rows(_LAYER, _V5_LAYER),
        *torch_norm(f"{_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *torch_norm(f"{_V5_LAYER}.layernorm_after", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.intermediate.dense", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_V5_LAYER}.mlp.fc1", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.output.dense", f"{BLOCK}/mlp/output"),
        *linear(f"{_V5_LAYER}.mlp.fc2", f"{BLOCK}/mlp/output"),
        *torch_norm("layernorm", "encoder_norm"),
        # A classifier reads the class token itself; a pooler beside it is not used.
        *linear("pooler.dense", "pre_logits", unless="classifier.weight"),
        *linear("classifier", "head"),
        *linear("cls_classifier", "head/token"),
        *linear("distillation_classifier", "head/distillation"),
    )
    # Beside the encoder of a masked autoencoder is its decoder.
    ignored = (*IGNORED, r"decoder\..*")
    published = (r"^encoder\.layer\.",)
    lacks = ("layer_scale", "projection_size")

    def family_by_shapes(self, bound):
        return _DEIT if "patch_encoder/distillation_token" in bound.shapes else _VIT

    def family_for(self, config):
        if config.distillation_token:
            return _DEIT
        return _VIT if config.class_token else _IJEPA

    def poolings(self, config):
        if config.distillation_token and config.num_classes:
            return ("token", "token+distillation")
        if not config.class_token:
            return ("gap",) if config.num_classes else ("gap", "none")
        return super().poolings(config)

    def family_checks(self, config, family):
        pooler = not config.num_classes and config.pooling == "token"
        return [
            ("mlp", config.mlp != "swiglu", f"{family} has no gated MLP"),
            (
                "class_token",
                config.class_token or not config.distillation_token,
                f"{family} has one",
            ),
            (
                "pre_logits_size",
                config.pre_logits_size is None or pooler,
                "only as the pooler of a model without a head",
            ),
        ]

    def full_name(self, name, config):
        outside = name.startswith(("classifier.", "cls_classifier.", "distillation_classifier."))
        return name if outside or not config.num_classes else self.family_for(config).prefix + name

    def architecture(self, config):
        if config.pooling == "token+distillation":
            return "DeiTForImageClassificationWithTeacher"
        return super().architecture(config)

    def family_config(self, config):
        description = {"intermediate_size": config.mlp_dim, "qkv_bias": config.qkv_bias}
        if config.pre_logits_size is not None:
            description["pooler_output_size"] = config.pre_logits_size
            description["pooler_act"] = config.pre_logits_activation or "linear"
        return description


VIT = VitLayout()
