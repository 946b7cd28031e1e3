"""The model factories: a row of the table, and weights when asked for, become a Keras model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from keras_vit.applications.building import build_loaded_model, build_model, stored_size_hint
from keras_vit.models.variants import get_variant, list_models
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.architecture import adapt_variant
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
        name: name of the model; None is `"{variant}"`.
        **config_overrides: fields of `keras_vit.VisionTransformerConfig`, and `dtype`.

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
}


def _document(factory: Callable, variant: str, family_argument: _FamilyArgument | None) -> Callable:
    """Gives a factory its name, its docstring and, for a family's own argument, its signature."""
    config = get_variant(variant)
    family = "R" if variant[0] == "R" else variant.split("_")[0]
    height, width = config.image_size
    document = _DOCUMENT.format(
        variant=variant,
        title=variant.replace("_", "-"),
        stride=config.patch_stride,
        size=f"{height} x {width}",
        classes=config.num_classes or "no",
        hidden=config.hidden_size,
        reference=_REFERENCES[family],
    )
    if family_argument is not None:
        line = f"        {family_argument.name}: {family_argument.document}\n"
        document = document.replace(
            "        **config_overrides", f"{line}        **config_overrides"
        )
        signature = inspect.signature(factory)
        parameters = list(signature.parameters.values())
        extra = inspect.Parameter(
            family_argument.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=family_argument.default,
            annotation=type(family_argument.default),
        )
        factory.__signature__ = signature.replace(
            parameters=[*parameters[:-1], extra, parameters[-1]]
        )
    factory.__name__ = factory.__qualname__ = variant
    factory.__doc__ = inspect.cleandoc(document)
    return factory


@dataclasses.dataclass(frozen=True)
class _FamilyArgument:
    """An argument that only one family has, and the config fields that it sets."""

    name: str
    default: Any
    fields: Callable[[Any], dict[str, Any]]
    document: str
    # The weights that a general name means for a model with this argument.
    weights: Mapping[str, str]


def _distilled_fields(distilled: bool) -> dict[str, Any]:
    if not distilled:
        return {}
    return {"distillation_token": True, "pooling": "token+distillation"}


def _register_fields(registers: int) -> dict[str, Any]:
    if not registers:
        return {}
    # The models with registers were released with antialiased resizing, those without were not.
    interpolation = {"position_embedding_interpolation": "bicubic_antialias"}
    return {"num_register_tokens": registers, **interpolation}


_DISTILLED = _FamilyArgument(
    "distilled",
    False,
    _distilled_fields,
    "whether a distillation token and its head are there, as in the distilled models.",
    {"imagenet": "distilled-imagenet2012", "imagenet2012": "distilled-imagenet2012"},
)
_REGISTERS = _FamilyArgument(
    "registers",
    0,
    _register_fields,
    "number of register tokens; the released models have 4.",
    {"lvd142m": "registers-lvd142m", "timm-lvd142m": "timm-registers-lvd142m"},
)


def _build(
    variant: str,
    family_argument: _FamilyArgument | None,
    config_overrides: dict[str, Any],
    *,
    weights: Any,
    **arguments: Any,
) -> VisionTransformer:
    """The body of every factory."""
    overrides = dict(config_overrides)
    arguments["dtype"] = overrides.pop("dtype", None)
    arguments["name"] = arguments["name"] or variant
    if family_argument is not None:
        value = overrides.pop(family_argument.name, family_argument.default)
        overrides = {**family_argument.fields(value), **overrides}
        weights = family_argument.weights.get(weights, weights) if value else weights
    if weights is None:
        return build_model(get_variant(variant), overrides=overrides, **arguments)
    path, row = locate(variant, weights)
    if path.endswith(".weights.h5"):  # Keras's own format says nothing of the architecture
        model = build_model(get_variant(variant), overrides=overrides, **arguments)
        load_weights(model, path)
        return model
    bound = open_source(path)
    hints = {**(row.config if row else {}), **overrides}
    hints = stored_size_hint(hints, arguments["input_shape"], arguments["input_tensor"])
    stored = adapt_variant(variant, get_variant(variant), bound, **hints)
    preprocessing = row.preprocessing if row else None
    return build_loaded_model(bound, stored, preprocessing, **arguments)


def _factory(
    variant: str, family_argument: _FamilyArgument | None = None
) -> Callable[..., VisionTransformer]:
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
        return _build(
            variant,
            family_argument,
            config_overrides,
            weights=weights,
            input_tensor=input_tensor,
            classifier_activation=classifier_activation,
            name=name,
            include_top=include_top,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
        )

    return _document(build, variant, family_argument)


ViT_Ti16 = _factory("ViT_Ti16")
ViT_S32 = _factory("ViT_S32")
ViT_S16 = _factory("ViT_S16")
ViT_B32 = _factory("ViT_B32")
ViT_B16 = _factory("ViT_B16")
ViT_B8 = _factory("ViT_B8")
ViT_L32 = _factory("ViT_L32")
ViT_L16 = _factory("ViT_L16")
ViT_H14 = _factory("ViT_H14")
ViT_g14 = _factory("ViT_g14")
ViT_G14 = _factory("ViT_G14")
R_Ti16 = _factory("R_Ti16")
R26_S32 = _factory("R26_S32")
R50_B16 = _factory("R50_B16")
R50_L32 = _factory("R50_L32")
DeiT_Ti16 = _factory("DeiT_Ti16", _DISTILLED)
DeiT_S16 = _factory("DeiT_S16", _DISTILLED)
DeiT_B16 = _factory("DeiT_B16", _DISTILLED)
DeiT3_S16 = _factory("DeiT3_S16")
DeiT3_B16 = _factory("DeiT3_B16")
DeiT3_L16 = _factory("DeiT3_L16")
DeiT3_H14 = _factory("DeiT3_H14")
DINOv2_S14 = _factory("DINOv2_S14", _REGISTERS)
DINOv2_B14 = _factory("DINOv2_B14", _REGISTERS)
DINOv2_L14 = _factory("DINOv2_L14", _REGISTERS)
DINOv2_g14 = _factory("DINOv2_g14", _REGISTERS)
SigLIP_B16 = _factory("SigLIP_B16")
SigLIP_L16 = _factory("SigLIP_L16")
SigLIP_So400m14 = _factory("SigLIP_So400m14")
CLIP_B32 = _factory("CLIP_B32")
CLIP_B16 = _factory("CLIP_B16")
CLIP_L14 = _factory("CLIP_L14")

__all__ = list_models()
