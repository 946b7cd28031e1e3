"""What the layouts of transformers share: families, `config.json`, and how they are saved."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_vit.checks import size_pair
from keras_vit.weights.files.suffixes import WHOLE
from keras_vit.weights.layouts.activations import GELUS
from keras_vit.weights.layouts.layout import POSITIONS, Layout
from keras_vit.weights.rows import BLOCK, Row, linear, row

IGNORED = (r"(.*\.)?position_ids", r"(.*\.)?mask_token")
EMBEDDINGS = (
    row(
        "embeddings.patch_embeddings.projection.weight",
        "patch_encoder/projection/kernel",
        "torch_patch",
    ),
    row("embeddings.patch_embeddings.projection.bias", "patch_encoder/projection/bias"),
    row("embeddings.cls_token", "patch_encoder/class_token"),
    row("embeddings.distillation_token", "patch_encoder/distillation_token"),
    row("embeddings.register_tokens", "patch_encoder/register_tokens"),
    row("embeddings.position_embeddings", POSITIONS),
)
_ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu", None: "gelu"}


def attention_rows(published: str, renamed: str) -> tuple[Row, ...]:
    """Returns the rows of attention, under its `published` names, then as transformers 5 has them.

    Args:
        published: what stands in front of `.attention` in the files of the hub.
        renamed: what transformers 5 has in its place.
    """
    old, new = f"{published}.attention", f"{renamed}.attention"
    parts = ("query", "key", "value")
    return (
        *linear([f"{old}.attention.{part}" for part in parts], f"{BLOCK}/attention/qkv"),
        *linear(f"{old}.output.dense", f"{BLOCK}/attention/output"),
        *linear([f"{new}.{letter}_proj" for letter in "qkv"], f"{BLOCK}/attention/qkv"),
        *linear(f"{new}.o_proj", f"{BLOCK}/attention/output"),
    )


@dataclasses.dataclass(frozen=True)
class Family:
    """What transformers knows one of its families by, and what its config class defaults to.

    Attributes:
        model_type: its name in `config.json`.
        model: the class without a head.
        classifier: the class with one, or "" where there is none.
        prefix: what stands in front of the names of the encoder beside a head.
        gelu: `hidden_act` where `config.json` does not say it.
        epsilon: `layer_norm_eps` where `config.json` does not say it.
        interpolation: how it resizes positions.
        preprocessing: fields of `Preprocessing` that its images are prepared with.
    """

    model_type: str
    model: str
    classifier: str
    prefix: str
    gelu: str = "gelu"
    epsilon: float = 1e-12
    interpolation: str = "bicubic"
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class TransformersLayout(Layout):
    """A layout of transformers: a folder with `model.safetensors` and `config.json`.

    Attributes:
        families: those that use these names.
    """

    name = "huggingface"
    ignored = IGNORED
    families: tuple[Family, ...] = ()

    def family_of(self, bound) -> Family:
        """Returns the family that the arrays of a checkpoint are of."""
        return self.families[0]

    def family_for(self, config) -> Family:
        """Returns the family that a model is saved as."""
        return self.families[0]

    def read_config(self, bound, fields) -> dict[str, Any]:
        family, stated = self.family_of(bound), own_config(bound)
        _check_belongs(bound, stated, fields)
        told = {
            "gelu": _gelu(bound, stated.get("hidden_act", family.gelu)),
            "layer_norm_epsilon": float(stated.get("layer_norm_eps", family.epsilon)),
            "position_embedding_interpolation": family.interpolation,
        }
        if stated:
            told["num_heads"] = int(stated.get("num_attention_heads", 12))
        if POSITIONS not in bound.shapes:
            told["position_embedding"] = "sincos2d"
        if fields["mlp"] == "swiglu":
            del told["gelu"]
        return told

    def stated_grid(self, bound):
        size = own_config(bound).get("image_size")
        if size is None:
            return None
        sides = size_pair("image_size of config.json", size)
        return tuple(side // patch for side, patch in zip(sides, bound.patch_shape, strict=False))

    def prepare(self, bound, size):
        return {"crop_offset": "down", **self.family_of(bound).preprocessing}

    def poolings(self, config) -> tuple[str, ...]:
        """Returns the kinds of pooling that the family of a model can be saved with."""
        return ("token",) if config.num_classes else ("token", "none")

    def checks(self, config):
        family = self.family_for(config).model_type
        tokens = int(config.class_token) + int(config.distillation_token)
        poolings = self.poolings(config)
        return [
            ("hybrid", config.hybrid is None, "there is none"),
            ("qk_norm", not config.qk_norm, "there is none"),
            ("position_embedding", config.position_embedding == "learned", "learned always"),
            ("final_norm", config.final_norm == "tokens", "the norm acts on tokens"),
            ("pooling", config.pooling in poolings, f"{family} takes {' or '.join(poolings)}"),
            *self.family_checks(config, family),
            (
                "position_embedding_prefix_rows",
                config.position_embedding_prefix_rows == tokens,
                f"{tokens} in {family}",
            ),
        ]

    def family_checks(self, config, family: str) -> list[tuple[str, Any, str]]:
        """Returns the checks in which the layouts of transformers differ."""
        raise NotImplementedError

    def target(self, path):
        target = Path(path)
        if target.suffix == self.suffix:
            return super().target(path)
        if target.is_file():
            raise ValueError(
                f"Expected a folder for the {self.name} layout. Received: {os.fspath(path)!r}."
            )
        return target / WHOLE

    def architecture(self, config) -> str:
        """Returns the class that transformers loads a saved model with."""
        family = self.family_for(config)
        return family.classifier if config.num_classes else family.model

    def write_config(self, config, preprocessing):
        height, width = config.image_size
        description = {
            "architectures": [self.architecture(config)],
            "model_type": self.family_for(config).model_type,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "hidden_act": _ACTIVATIONS[config.gelu],
            "layer_norm_eps": config.layer_norm_epsilon,
            "image_size": height if height == width else [height, width],
            "patch_size": config.patch_size,
            "num_channels": config.in_channels,
            "dtype": "float32",
            **self.family_config(config),
        }
        if config.num_classes:
            labels = {str(index): f"LABEL_{index}" for index in range(config.num_classes)}
            description["id2label"] = labels
            description["label2id"] = {label: int(index) for index, label in labels.items()}
        return {"config.json": description}

    def family_config(self, config) -> dict[str, Any]:
        """Returns the keys of `config.json` in which the layouts of transformers differ."""
        raise NotImplementedError


def own_config(bound) -> Mapping[str, Any]:
    """Returns the part of a `config.json` that describes the image side, or nothing."""
    config = bound.file.config
    if "model_type" not in config:
        return {}
    vision = config.get("vision_config")
    return vision if isinstance(vision, Mapping) else config


def _check_belongs(bound, stated: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    hidden_size = stated.get("hidden_size", fields["hidden_size"])
    if hidden_size != fields["hidden_size"]:
        raise ValueError(
            f"Expected the config.json beside {bound.file.path!r} to belong to it. Received: "
            f"hidden_size={hidden_size}, where the arrays have {fields['hidden_size']}. Move the "
            "file to a folder of its own."
        )


def _gelu(bound, activation: Any) -> str:
    if str(activation).lower() not in GELUS:
        raise ValueError(
            f"Expected hidden_act in the config.json beside {bound.file.path!r} to be one of "
            f"{sorted(GELUS)}. Received: {activation!r}. Pass `gelu=` where one of these is meant."
        )
    return GELUS[str(activation).lower()]
