"""What the layouts of transformers share: families, `config.json`, and how they are saved."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_vit.weights.files.arrays import ArrayFile
from keras_vit.weights.files.suffixes import WHOLE
from keras_vit.weights.layouts.activations import GELUS
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.layout import Layout
from keras_vit.weights.layouts.processors import read_processor, write_processor
from keras_vit.weights.layouts.stated import Stated
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
POOLER_ACTIVATIONS = {
    name: name for name in ("tanh", "relu", "relu6", "sigmoid", "silu", "mish", "gelu", "linear")
}
# Model types whose names may be known, but not what they compute.
_FOREIGN = {
    "audio-spectrogram-transformer": "spectrograms in place of images",
    "depth_anything": "a neck for depth",
    "kosmos_2_vision_model": "latent queries between images and a language model",
    "mlcd_vision_model": "rotary positions of the class token",
    "pixtral": "rotary positions",
    "radio": "patch generator of RADIO",
    "sam_vision_model": "windowed attention with relative position bias",
    "sam_hq_vision_model": "windowed attention with relative position bias",
    "sapiens2": "rotary positions and grouped queries",
    "videomae": "patches of a video",
    "vitdet": "windowed attention with relative position bias",
    "vitpose_backbone": "padded patches",
    "xclip_vision_model": "attention across the frames of a video",
    "yolos": "detection tokens",
}
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
        heads: `num_attention_heads` where `config.json` does not say it.
        interpolation: how it resizes positions.
        pooling: what it pools by without a head, where arrays do not tell; None for the class token
            or, without one, the mean.
        preprocessing: fields of `Preprocessing` that its images are prepared with.
    """

    model_type: str
    model: str
    classifier: str
    prefix: str
    gelu: str = "gelu"
    epsilon: float = 1e-12
    heads: int = 12
    interpolation: str = "bicubic"
    pooling: str | None = None
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def named(self, *model_types: str, **changes: Any) -> tuple[Family, ...]:
        """Returns families of other names that compute the same but for some defaults."""
        return tuple(dataclasses.replace(self, model_type=name, **changes) for name in model_types)


class TransformersLayout(Layout):
    """A layout of transformers: a folder with `model.safetensors` and `config.json`.

    Attributes:
        families: those that use these names.
        inert: what `config.json` says and no model of theirs reads.
        lacks: fields that a model of theirs has nothing for.
    """

    name = "huggingface"
    ignored = IGNORED
    families: tuple[Family, ...] = ()
    inert: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def family_by_shapes(self, bound) -> Family:
        """Returns the family that the arrays of a checkpoint are likely of."""
        return self.families[0]

    def family_for(self, config) -> Family:
        """Returns the family that a model is saved as."""
        return self.families[0]

    def family_of(self, bound) -> Family:
        """Returns the family that `config.json` names, else the one that the arrays are of."""
        model_type = model_type_of(bound.file)
        found = (family for family in self.families if family.model_type == model_type)
        return next(found, None) or self.family_by_shapes(bound)

    def foreign_features(self, bound):
        model_type = model_type_of(bound.file)
        if model_type is None or any(model_type == each.model_type for each in self.families):
            return super().foreign_features(bound)
        features = foreign_model_type(bound.file) or super().foreign_features(bound)
        return features or [f"a model unknown to this package (model_type={model_type!r})"]

    def read_config(self, bound, fields, given) -> dict[str, Any]:
        family, stated = self.family_of(bound), own_config(bound.file, given)
        for name in self.inert:
            stated.values.pop(name, None)
        told = {
            "layer_norm_epsilon": stated.number("layer_norm_eps", family.epsilon),
            "position_embedding_interpolation": family.interpolation,
        }
        if stated.values:
            told["num_heads"] = stated.integer("num_attention_heads", family.heads)
        if fields["mlp"] == "gelu":
            if stated.values.get("hidden_act") == "relu" and not {"gelu", "mlp"} & given.keys():
                told["mlp"] = "relu"
            elif "gelu" not in given:
                told["gelu"] = stated.choice("hidden_act", GELUS, GELUS[family.gelu])
        if not stated.values:
            bound.guess(
                f"gelu={told.get('gelu')!r} and layer_norm_epsilon={family.epsilon} as "
                f"{family.model} has them, since there is no config.json"
            )
        self._check_stated(bound, stated, fields)
        if family.pooling is not None and not fields["num_classes"]:
            told["pooling"] = family.pooling
        if fields["pre_logits_size"] is not None:
            told["pre_logits_activation"] = stated.choice("pooler_act", POOLER_ACTIVATIONS, "tanh")
        return told

    def _check_stated(self, bound, stated: Stated, fields: Mapping[str, Any]) -> None:
        """Refuses values of a wrong kind, of another file, or that no field expresses."""
        for name, field in (
            ("hidden_size", "hidden_size"), ("num_hidden_layers", "num_layers"),
            ("intermediate_size", "mlp_dim"), ("num_channels", "in_channels"),
            ("num_register_tokens", "num_register_tokens"),
        ):  # fmt: skip
            stated.integer(name, minimum=int(name != "num_register_tokens"))
            stated.agree(name, fields[field], field)
        if stated.size("patch_size") not in (None, (fields["patch_size"],) * 2):
            stated.agree("patch_size", fields["patch_size"], "patch_size")
        stated.agree("qkv_bias", fields["qkv_bias"], "qkv_bias")
        stated.agree("use_swiglu_ffn", fields["mlp"] == "swiglu", "mlp")
        if not fields["num_classes"]:
            stated.agree("vision_use_head", fields.get("pooling") == "map", "pooling")
        stated.must_be("apply_layernorm", True, "features of a backbone without their norm")
        stated.must_be("is_hybrid", False, "hybrid of transformers")
        whole = Stated(bound.file.config, f"the config.json beside {bound.file.path!r}")
        classes = str(whole.values.get("architectures", ""))
        if "ForImageClassification" in classes and "num_classes" not in stated.given:
            labels = whole.values.get("id2label")
            count = len(labels) if isinstance(labels, Mapping) else fields["num_classes"]
            if not fields["num_classes"] or count != fields["num_classes"]:
                raise ValueError(
                    f"Expected the head of {classes} in {bound.file.path!r}, with {count} classes. "
                    f"Received: {fields['num_classes'] or 'no'} classes in its arrays."
                )

    def stated_size(self, bound):
        return own_config(bound.file).size("image_size")

    def prepare(self, bound, size):
        fields = {"crop_offset": "down", **self.family_of(bound).preprocessing}
        return {**fields, **read_processor(bound)}

    def poolings(self, config) -> tuple[str, ...]:
        """Returns the kinds of pooling that the family of a model can be saved with."""
        return ("token",) if config.num_classes else ("token", "none")

    def norm(self, config) -> str:
        """Returns the `final_norm` that the family of a model has."""
        return "tokens"

    def prefix_rows(self, config) -> int:
        """Returns how many rows of its positions are of prefix tokens."""
        return int(config.class_token) + int(config.distillation_token)

    def checks(self, config):
        family = self.family_for(config).model_type
        poolings, norm, rows = self.poolings(config), self.norm(config), self.prefix_rows(config)
        shared = [
            ("hybrid", config.hybrid is None, "there is none"),
            ("qk_norm", not config.qk_norm, "there is none"),
            ("position_embedding", config.position_embedding == "learned", "learned always"),
        ]
        return [
            *(check for check in shared if check[0] not in self.expresses),
            ("final_norm", config.final_norm == norm, f"{norm} in {family}"),
            ("pooling", config.pooling in poolings, f"{family} takes {' or '.join(poolings)}"),
            *((field, not getattr(config, field), f"{family} has none") for field in self.lacks),
            (
                "pooling_includes_prefix_tokens",
                not config.pooling_includes_prefix_tokens or config.pooling in ("token", "none"),
                "the patches alone",
            ),
            *self.family_checks(config, family),
            (
                "position_embedding_prefix_rows",
                config.position_embedding_prefix_rows == rows,
                f"{rows} in {family}",
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
            "hidden_act": "relu" if config.mlp == "relu" else _ACTIVATIONS[config.gelu],
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
        processor = write_processor(preprocessing)
        return {"config.json": description, "preprocessor_config.json": processor}

    def family_config(self, config) -> dict[str, Any]:
        """Returns the keys of `config.json` in which the layouts of transformers differ."""
        raise NotImplementedError


def foreign_model_type(file: ArrayFile) -> list[str]:
    """Names what a model of transformers has that this package does not, by its `model_type`."""
    model_type = model_type_of(file)
    feature = _FOREIGN.get(model_type)
    return [f"{feature} (model_type={model_type!r})"] if feature else []


def model_type_of(file: ArrayFile) -> str | None:
    """Returns the `model_type` of the image side in a `config.json`, or None without one."""
    config = file.config
    vision = config.get("vision_config")
    if isinstance(vision, Mapping) and "model_type" in vision:
        return str(vision["model_type"])
    return str(config["model_type"]) if "model_type" in config else None


def own_config(file: ArrayFile, given: Mapping[str, Any] | None = None) -> Stated:
    """Returns what a `config.json` of transformers says of the image side, or nothing."""
    config = file.config if "model_type" in file.config else {}
    vision = config.get("vision_config")
    where = f"the config.json beside {file.path!r}"
    return Stated(vision if isinstance(vision, Mapping) else config, where, given)
