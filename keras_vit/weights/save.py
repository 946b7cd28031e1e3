"""Writes a model as google-research, timm or Hugging Face would have: the way back of `load.py`."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.files import replacing, write_json
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.weights.expressible import huggingface_family, mlp_ratio, obstacles
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.files.safetensors import write_safetensors
from keras_vit.weights.forms import FORMS, Sizes, joined
from keras_vit.weights.names import GOOGLE, HF_DINOV2, HF_TOWER, HF_VIT, TIMM
from keras_vit.weights.rows import Layout, Row, fill, match

LAYOUTS = ("google", "timm", "huggingface")
_ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu", None: "gelu"}
_ARCHITECTURES = {
    "vit": ("ViTModel", "ViTForImageClassification", "vit."),
    "deit": ("DeiTModel", "DeiTForImageClassification", "deit."),
    "dinov2": ("Dinov2Model", "Dinov2ForImageClassification", "dinov2."),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersForImageClassification",
        "dinov2_with_registers.",
    ),
    "siglip_vision_model": ("SiglipVisionModel", "", "vision_model."),
    "clip_vision_model": ("CLIPVisionModel", "", "vision_model."),
}
_METADATA = {"format": "pt"}  # transformers reads no file without it
# Names that stand beside the encoder, not in it: they never have its prefix.
_OUTSIDE = ("classifier.", "cls_classifier.", "distillation_classifier.", "visual_projection.")


def save_checkpoint(model: keras.Model, path: Any, layout: str = "google") -> str:
    """Writes the weights of a model in the layout of another library.

    Args:
        model: a `VisionTransformer`.
        path: `"google"`: an `.npz` file; `"timm"`: a `.safetensors` file; `"huggingface"`: a folder
            for `config.json` and `model.safetensors` (or a `.safetensors` file, with `config.json`
            beside it). What is there is replaced only by a whole file.
        layout: `"google"` (vit_jax names; big_vision ones for MAP pooling, sincos2d positions or a
            class token without a position), `"timm"` or `"huggingface"` (the published names, as
            transformers 4 and 5 read them).

    Returns:
        The path of the file with the weights.

    Raises:
        ValueError: the layout cannot express the model (the error names the fields), or a path of
            another kind.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, VisionTransformerConfig):
        raise ValueError(
            f"Expected a keras_vit.VisionTransformer. Received: {type(model).__name__}."
        )
    if layout not in LAYOUTS:
        raise ValueError(f"Expected `layout` to be one of {LAYOUTS}. Received: {layout!r}.")
    found = obstacles(config, layout)
    if found:
        raise ValueError(
            f"Expected a model that the {layout} layout can express. Received: {'; '.join(found)}."
        )
    target = _target(path, layout)
    values = {
        name: keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        for name, variable in canonical_variables(model).items()
    }
    if layout == "google":
        arrays = _named(values, config, GOOGLE, *_google_choice(config))
        with replacing(target) as temporary:
            np.savez(temporary, **arrays)
    elif layout == "timm":
        arrays = _named(values, config, TIMM, _timm_choice(config))
        with replacing(target) as temporary:
            write_safetensors(temporary, arrays, _METADATA)
    else:
        arrays, description = _huggingface(values, config)
        with contextlib.ExitStack() as stack:  # both files are written, then both are moved
            write_safetensors(stack.enter_context(replacing(target)), arrays, _METADATA)
            beside = stack.enter_context(replacing(target.with_name("config.json")))
            write_json(beside, description)
    return os.fspath(target)


def _target(path: Any, layout: str) -> Path:
    target = Path(path)
    if layout == "huggingface" and target.suffix != ".safetensors":
        if target.is_file():
            raise ValueError(f"Expected a folder for the huggingface layout. Received: {path!r}.")
        return target / "model.safetensors"
    suffix = ".npz" if layout == "google" else ".safetensors"
    if target.suffix != suffix or target.is_dir():
        raise ValueError(
            f"Expected a path that ends in {suffix} for the {layout} layout. "
            f"Received: {os.fspath(path)!r}."
        )
    return target


def _named(
    values: Mapping[str, np.ndarray],
    config: VisionTransformerConfig,
    layout: Layout,
    avoided: tuple[str, ...] = (),
    prefix: str = "",
) -> dict[str, np.ndarray]:
    """Turns canonical arrays into stored ones.

    Args:
        values: arrays by canonical name.
        config: the architecture.
        layout: the table; the first row that makes a variable counts.
        avoided: patterns of source names whose rows are passed over.
        prefix: what goes in front of every name.
    """
    sizes = Sizes(config.patch_size, config.num_heads)
    rows = [
        row
        for row in layout.rows
        if not row.stacked and not any(re.search(part, row.sources[0]) for part in avoided)
    ]
    arrays: dict[str, np.ndarray] = {}
    done: set[str] = set()
    for name in values:
        if name in done:
            continue
        row, numbers = _row_for(name, rows)
        targets = [fill(target, numbers) for target in row.targets]
        done.update(targets)
        whole = joined([values[target] for target in targets])
        back = FORMS[row.form].back
        for source, part in zip(
            row.sources, np.split(whole, len(row.sources), axis=-1), strict=True
        ):
            arrays[prefix + fill(source, numbers)] = np.ascontiguousarray(back(part, sizes))
    return arrays


def _row_for(name: str, rows: list[Row]) -> tuple[Row, dict[str, int]]:
    for row in rows:
        for target in row.targets:
            numbers = match(target, name)
            if numbers is not None:
                return row, numbers
    raise ValueError(f"Expected a variable that the layout has a name for. Received: {name!r}.")


def _google_choice(config: VisionTransformerConfig) -> tuple[tuple[str, ...], str]:
    """Rows to avoid and prefix: vit_jax names where they will do, else those of big_vision."""
    rows = config.position_embedding_prefix_rows
    big_vision = (
        config.pooling == "map"
        or config.position_embedding == "sincos2d"
        or rows != int(config.class_token)
    )
    if big_vision:
        return ("LayerNorm_2/", "Attention_1/", "MlpBlock_3/", "posembed_input/"), "params/"
    return ("LayerNorm_1/", "Attention_0/", "MlpBlock_0/"), ""


def _timm_choice(config: VisionTransformerConfig) -> tuple[str, ...]:
    units = config.hybrid.units_per_stage if config.hybrid else ()
    stem = r"backbone\.(conv|norm)\." if units else r"backbone\.stem\."
    norm = r"^norm\." if config.final_norm == "pooled" else r"^fc_norm\."
    return (stem, norm)


def _huggingface(
    values: Mapping[str, np.ndarray], config: VisionTransformerConfig
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns arrays by published name, and the config.json."""
    family = huggingface_family(config)
    plain, classifier, prefix = _ARCHITECTURES[family]
    tower = not classifier
    layout = HF_TOWER if tower else HF_DINOV2 if family.startswith("dinov2") else HF_VIT
    avoided = (r"\.mlp\.fc",) if config.mlp == "swiglu" else (r"\.mlp\.weights_",)
    arrays = _named(values, config, layout, avoided if layout is HF_DINOV2 else ())
    if family == "dinov2_with_registers":  # never read, but a model of transformers has it
        arrays["embeddings.mask_token"] = np.zeros((1, config.hidden_size), "float32")
    if tower or config.num_classes:
        arrays = {n if n.startswith(_OUTSIDE) else prefix + n: a for n, a in arrays.items()}
    architecture = classifier if config.num_classes else plain
    if config.projection_size is not None:
        architecture = "CLIPVisionModelWithProjection"
    if config.pooling == "token+distillation":
        architecture = "DeiTForImageClassificationWithTeacher"
    return arrays, _describe(config, family, architecture)


def _describe(config: VisionTransformerConfig, family: str, architecture: str) -> dict[str, Any]:
    """Returns the config.json of transformers."""
    height, width = config.image_size
    description = {
        "architectures": [architecture],
        "model_type": family,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "hidden_act": _ACTIVATIONS[config.gelu],
        "layer_norm_eps": config.layer_norm_epsilon,
        "image_size": height if height == width else [height, width],
        "patch_size": config.patch_size,
        "num_channels": config.in_channels,
        "dtype": "float32",
    }
    if family.startswith("dinov2"):
        description.update(
            mlp_ratio=mlp_ratio(config),
            use_swiglu_ffn=config.mlp == "swiglu",
            layerscale_value=1.0,
            qkv_bias=config.qkv_bias,
        )
        if config.num_register_tokens:
            description["num_register_tokens"] = config.num_register_tokens
        else:
            description["use_mask_token"] = False
    else:
        description["intermediate_size"] = config.mlp_dim
    if family in ("vit", "deit"):
        description["qkv_bias"] = config.qkv_bias
        if config.pre_logits_size is not None:
            description["pooler_output_size"] = config.pre_logits_size
            description["pooler_act"] = config.pre_logits_activation or "linear"
    if family == "siglip_vision_model":
        description["vision_use_head"] = config.pooling == "map"
    if config.projection_size is not None:
        description["projection_dim"] = config.projection_size
    if config.num_classes:
        labels = {str(index): f"LABEL_{index}" for index in range(config.num_classes)}
        description["id2label"] = labels
        description["label2id"] = {label: int(index) for index, label in labels.items()}
    return description
