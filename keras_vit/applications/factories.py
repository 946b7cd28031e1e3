"""The model factories: a row of the table, and weights when asked for, become a Keras model."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from keras_vit.applications.building import BuildArguments
from keras_vit.models.variants import get_variant, list_models
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.architecture import adapt_variant
from keras_vit.weights.files.suffixes import needs_model
from keras_vit.weights.load import load_weights, open_source
from keras_vit.weights.lookup import locate

_DOCUMENT = """Builds {title}, a Vision Transformer.

    Args:
        include_top: whether the head is part of the model.
        weights: None for initial values; a name of `keras_vit.list_weights("{variant}")`; a path to
            `.npz`, `.safetensors`, `.weights.h5` or `.keras`; or `"hf://owner/repo"`.
        input_tensor: a Keras tensor of images to build on, or None.
        input_shape: (height, width, channels) in pixels; `(None, None, channels)` takes any size
            divisible by {stride}; None is the size of the weights, else {size}.
        pooling: `"token"`, `"gap"` (or `"avg"`), `"map"`, `"max"`, `"token+distillation"` or
            `"token+gap"`; None is the variant's own with a head, and all tokens without one.
        classes: number of classes, at least 1; None keeps the head of the weights, or the
            variant's own ({classes} classes). Not used without the head.
        classifier_activation: activation of the head; None returns logits.
        name: name of the model; None is `"{variant}"`.{own_argument}
        **config_overrides: fields of `keras_vit.VisionTransformerConfig`, `dtype` and `trainable`.

    Returns:
        A `keras_vit.VisionTransformer`: `(batch, height, width, channels)` to `(batch, classes)`;
        without a head `(batch, features)`, or all tokens `(batch, tokens, {hidden})`.

    Raises:
        ValueError: an impossible argument, an unknown name of weights, or weights that do not fit.

    Reference: {reference}
"""

_REFERENCES = {
    "ViT": '"An Image is Worth 16x16 Words" (arXiv 2010.11929), Table 1.',
    "R": '"An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1, hybrid architecture.',
    "DeiT": '"Training data-efficient image transformers" (arXiv 2012.12877), Table 1.',
    "DeiT3": '"DeiT III: Revenge of the ViT" (arXiv 2204.07118), Table 1.',
    "DINOv2": '"DINOv2" (arXiv 2304.07193); registers: arXiv 2309.16588.',
    "SigLIP": '"Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343).',
    "CLIP": '"Learning Transferable Visual Models From Natural Language Supervision" '
    "(arXiv 2103.00020).",
    "DINOv3": '"DINOv3" (arXiv 2508.10104).',
    "EVA02": '"EVA-02: A Visual Representation for Neon Genesis" (arXiv 2303.11331).',
    "BEiT": '"BEiT v2" (arXiv 2208.06366); "BEiT" (arXiv 2106.08254).',
    "SBB": '"Getting ViT in Shape" (arXiv 2305.13035); the sizes are of timm\'s own search.',
    "SigLIP2": '"SigLIP 2: Multilingual Vision-Language Encoders" (arXiv 2502.14786).',
    "PE": '"Perception Encoder" (arXiv 2504.13181).',
}


# The weights that a general name means for a model with a family's own argument.
_DISTILLED_WEIGHTS = {
    "imagenet": "distilled-imagenet2012", "imagenet2012": "distilled-imagenet2012",
}  # fmt: skip
_REGISTER_WEIGHTS = {"lvd142m": "registers-lvd142m", "timm-lvd142m": "timm-registers-lvd142m"}


def _document(factory: Callable, variant: str, own_argument: str = "") -> Callable:
    """Gives a factory its name and its docstring, the same in all but a few words."""
    config = get_variant(variant)
    height, width = config.image_size
    factory.__name__ = factory.__qualname__ = variant
    factory.__doc__ = inspect.cleandoc(
        _DOCUMENT.format(
            variant=variant,
            title=variant.replace("_", "-"),
            stride=config.patch_stride,
            size=f"{height} x {width}",
            classes=config.num_classes or "no",
            hidden=config.hidden_size,
            own_argument=own_argument and f"\n        {own_argument}",
            reference=_REFERENCES["R" if variant[0] == "R" else variant.split("_")[0]],
        )
    )
    return factory


def _build(
    variant: str, weights: Any, arguments: BuildArguments, overrides: dict[str, Any]
) -> VisionTransformer:
    """The body of every factory."""
    own = {name: overrides.pop(name) for name in ("dtype", "trainable") if name in overrides}
    arguments = dataclasses.replace(arguments, name=arguments.name or variant, **own)
    config = get_variant(variant)
    if weights is None:
        return arguments.build(config, **overrides)
    source, row = locate(variant, weights)
    if needs_model(source):  # Keras's own format says nothing of the architecture
        model = arguments.build(config, **overrides)
        load_weights(model, source)
        return model
    bound = open_source(source)
    hints = {**(row.config if row else {}), **overrides, **arguments.size_hint}
    found = adapt_variant(variant, config, bound, **hints)
    return arguments.build_loaded(bound, found, row.preprocessing if row else None)


def _vit(variant: str) -> Callable[..., VisionTransformer]:
    def build(
        include_top: bool = True,
        weights: str | None = None,
        input_tensor: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: Any = "softmax",
        name: str | None = None,
        **config_overrides: Any,
    ) -> VisionTransformer:
        arguments = BuildArguments(
            include_top, input_tensor, input_shape, pooling, classes, classifier_activation, name
        )
        return _build(variant, weights, arguments, config_overrides)

    return _document(build, variant)


def _deit(variant: str) -> Callable[..., VisionTransformer]:
    def build(
        include_top: bool = True,
        weights: str | None = None,
        input_tensor: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: Any = "softmax",
        name: str | None = None,
        *,
        distilled: bool = False,
        **config_overrides: Any,
    ) -> VisionTransformer:
        arguments = BuildArguments(
            include_top, input_tensor, input_shape, pooling, classes, classifier_activation, name
        )
        if distilled:
            own = {"distillation_token": True, "pooling": "token+distillation"}
            config_overrides = {**own, **config_overrides}
            weights = _DISTILLED_WEIGHTS.get(weights, weights)
        return _build(variant, weights, arguments, config_overrides)

    meaning = "whether a distillation token and its head are there, as in the distilled models."
    return _document(build, variant, f"distilled: {meaning}")


def _dinov2(variant: str) -> Callable[..., VisionTransformer]:
    def build(
        include_top: bool = True,
        weights: str | None = None,
        input_tensor: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: Any = "softmax",
        name: str | None = None,
        *,
        registers: int = 0,
        **config_overrides: Any,
    ) -> VisionTransformer:
        arguments = BuildArguments(
            include_top, input_tensor, input_shape, pooling, classes, classifier_activation, name
        )
        if registers:
            # Released with antialiased resizing, unlike those without registers.
            own = {"position_embedding_interpolation": "bicubic_antialias"}
            config_overrides = {**own, "num_register_tokens": registers, **config_overrides}
            weights = _REGISTER_WEIGHTS.get(weights, weights)
        return _build(variant, weights, arguments, config_overrides)

    return _document(
        build, variant, "registers: number of register tokens; the released models have 4."
    )


ViT_Ti16 = _vit("ViT_Ti16")
ViT_S32 = _vit("ViT_S32")
ViT_S16 = _vit("ViT_S16")
ViT_S8 = _vit("ViT_S8")
ViT_B32 = _vit("ViT_B32")
ViT_B16 = _vit("ViT_B16")
ViT_B8 = _vit("ViT_B8")
ViT_L32 = _vit("ViT_L32")
ViT_L16 = _vit("ViT_L16")
ViT_H14 = _vit("ViT_H14")
ViT_g14 = _vit("ViT_g14")
ViT_G14 = _vit("ViT_G14")
R_Ti16 = _vit("R_Ti16")
R26_S32 = _vit("R26_S32")
R50_B16 = _vit("R50_B16")
R50_L32 = _vit("R50_L32")
DeiT_Ti16 = _deit("DeiT_Ti16")
DeiT_S16 = _deit("DeiT_S16")
DeiT_B16 = _deit("DeiT_B16")
DeiT3_S16 = _vit("DeiT3_S16")
DeiT3_B16 = _vit("DeiT3_B16")
DeiT3_L16 = _vit("DeiT3_L16")
DeiT3_H14 = _vit("DeiT3_H14")
DINOv2_S14 = _dinov2("DINOv2_S14")
DINOv2_B14 = _dinov2("DINOv2_B14")
DINOv2_L14 = _dinov2("DINOv2_L14")
DINOv2_g14 = _dinov2("DINOv2_g14")
SigLIP_B16 = _vit("SigLIP_B16")
SigLIP_L16 = _vit("SigLIP_L16")
SigLIP_So400m14 = _vit("SigLIP_So400m14")
CLIP_B32 = _vit("CLIP_B32")
CLIP_B16 = _vit("CLIP_B16")
CLIP_L14 = _vit("CLIP_L14")
DINOv3_S16 = _vit("DINOv3_S16")
DINOv3_S16plus = _vit("DINOv3_S16plus")
DINOv3_B16 = _vit("DINOv3_B16")
DINOv3_L16 = _vit("DINOv3_L16")
DINOv3_H16plus = _vit("DINOv3_H16plus")
DINOv3_7B16 = _vit("DINOv3_7B16")
EVA02_Ti14 = _vit("EVA02_Ti14")
EVA02_S14 = _vit("EVA02_S14")
EVA02_B14 = _vit("EVA02_B14")
EVA02_L14 = _vit("EVA02_L14")
BEiT_B16 = _vit("BEiT_B16")
BEiT_L16 = _vit("BEiT_L16")
SBB_Little16 = _vit("SBB_Little16")
SBB_Medium16 = _vit("SBB_Medium16")
SBB_MediumD16 = _vit("SBB_MediumD16")
SBB_Betwixt16 = _vit("SBB_Betwixt16")
SBB_SO150M16 = _vit("SBB_SO150M16")
SBB_SO150M2_16 = _vit("SBB_SO150M2_16")
SigLIP2_B32 = _vit("SigLIP2_B32")
SigLIP2_B16 = _vit("SigLIP2_B16")
SigLIP2_L16 = _vit("SigLIP2_L16")
SigLIP2_So400m14 = _vit("SigLIP2_So400m14")
SigLIP2_So400m16 = _vit("SigLIP2_So400m16")
SigLIP2_g16 = _vit("SigLIP2_g16")
PE_Core_Ti16 = _vit("PE_Core_Ti16")
PE_Core_S16 = _vit("PE_Core_S16")
PE_Core_B16 = _vit("PE_Core_B16")
PE_Core_L14 = _vit("PE_Core_L14")
PE_Core_G14 = _vit("PE_Core_G14")

__all__ = list_models()
