"""Presets of keras-hub, ViT and DINOv2, read and not written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import is_int
from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.layout import Layout
from keras_vit.weights.layouts.matching import bind_names
from keras_vit.weights.layouts.stated import Stated
from keras_vit.weights.rows import BLOCK, Row, row

_HEAD, _SECOND = "task/layers/dense", "task/layers/dense_1/vars/0"
_POOLINGS = {"token": "token", "gap": "gap"}


def _layer(source: str, target: str, parts=("kernel", "bias"), **fields) -> tuple[Row, ...]:
    return tuple(
        row(f"{source}/vars/{number}", f"{target}/{part}", **fields)
        for number, part in enumerate(parts)
    )


def _norm(source: str, target: str) -> tuple[Row, ...]:
    return _layer(source, target, ("gamma", "beta"))


def _patches(source: str) -> tuple[Row, ...]:
    return (
        row(f"{source}/vars/0", "patch_encoder/projection/kernel", "flax_patch"),
        row(f"{source}/vars/1", "patch_encoder/projection/bias"),
    )


def _attention(source: str) -> tuple[Row, ...]:
    parts = [f"{source}/{part}_dense/vars" for part in ("query", "key", "value")]
    return (
        row([f"{part}/0" for part in parts], f"{BLOCK}/attention/qkv/kernel", "heads_kernel"),
        row([f"{part}/1" for part in parts], f"{BLOCK}/attention/qkv/bias", "heads_bias"),
        row(f"{source}/output_dense/vars/0", f"{BLOCK}/attention/output/kernel", "heads_output"),
        row(f"{source}/output_dense/vars/1", f"{BLOCK}/attention/output/bias"),
    )


class KerasHubLayout(Layout):
    """What the presets of both families share.

    Attributes:
        block: the pattern of the name of a block, whose number the first lacks.
        mlp_width: what `config.json` calls the width of the MLP.
        statistics: what images are prepared with where no converter tells.
    """

    name = "keras-hub"
    read_only = (
        "which is read and not written: a preset is made by the classes of keras-hub, with their "
        "own paths of variables"
    )
    block = ""
    mlp_width = ""
    statistics = "half"
    ignored = (r"task/(optimizer|preprocessor)/.*",)

    def table_name(self, name):
        return re.sub(rf"({self.block})(_(\d+))?/", lambda m: f"{m[1]}_{m[3] or 0}/", name)

    def suits(self, config):
        return False

    def read_config(self, bound, fields, given) -> dict[str, Any]:
        stated = _inner(bound, "config.json", given)
        for name, field in (
            ("num_layers", "num_layers"), ("hidden_dim", "hidden_size"),
            ("num_register_tokens", "num_register_tokens"), (self.mlp_width, "mlp_dim"),
        ):  # fmt: skip
            if not (field == "mlp_dim" and fields["mlp"] == "swiglu"):  # two thirds of it
                stated.agree(name, fields[field], field)
        shape = _image_shape(stated)
        if shape and shape[2] != fields["in_channels"]:
            raise stated.refusal("image_shape", f"of {fields['in_channels']} channels, at its end")
        return {
            "gelu": "erf",
            "num_heads": stated.integer("num_heads"),
            "layer_norm_epsilon": stated.number("layer_norm_epsilon", 1e-6),
            "position_embedding_interpolation": "bicubic",
        }

    def stated_size(self, bound):
        shape = _image_shape(_inner(bound, "config.json"))
        return shape and (shape[0], shape[1])

    def prepare(self, bound, size):
        known = {**STATISTICS[self.statistics], "crop_offset": "down"}
        return {**known, **_converter(bound)}


class VitHubLayout(KerasHubLayout):
    """`ViTBackbone`, and `ViTImageClassifier` where its head lies beside it."""

    block, mlp_width = "vi_t_encoder_block", "mlp_dim"
    _block = "layers/vi_t_encoder/encoder_layers/vi_t_encoder_block_{i}"
    _patching = "layers/vi_t_patching_and_embedding"
    signature = f"{_patching}/patch_embedding/vars/0"
    rows = (
        *_patches(f"{_patching}/patch_embedding"),
        row(f"{_patching}/vars/0", "patch_encoder/class_token"),
        row(f"{_patching}/position_embedding/vars/0", POSITIONS, "table"),
        *_norm(f"{_block}/layer_norm_1", f"{BLOCK}/attention_norm"),
        *_attention(f"{_block}/mha"),
        *_norm(f"{_block}/layer_norm_2", f"{BLOCK}/mlp_norm"),
        *_layer(f"{_block}/mlp/dense_1", f"{BLOCK}/mlp/hidden"),
        *_layer(f"{_block}/mlp/dense_2", f"{BLOCK}/mlp/output"),
        *_norm("layers/vi_t_encoder/layer_norm", "encoder_norm"),
        *_layer(_HEAD, "head", unless=_SECOND),
        *_layer(_HEAD, "pre_logits", when=_SECOND),
        *_layer(f"{_HEAD}_1", "head"),
    )

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        if not fields["num_classes"]:
            return told
        task = Stated(bound.file.beside("task.json"), f"the task.json beside {bound.file.path!r}")
        task.must_be("class_name", "ViTImageClassifier", "other tasks of keras-hub")
        stated = _inner(bound, "task.json")
        told["pooling"] = stated.choice("pooling", _POOLINGS, "token")
        # It takes the mean of all tokens, that of the class too.
        told["pooling_includes_prefix_tokens"] = told["pooling"] == "gap" and fields["class_token"]
        if fields["pre_logits_size"] is not None:
            told["pre_logits_activation"] = "tanh"
        return told


class Dinov2HubLayout(KerasHubLayout):
    """`DINOV2Backbone`.

    Its file has positions twice: at the size of its images, which are read, and as they were
    published.
    """

    block, mlp_width = "dinov2_layer", "intermediate_dim"
    statistics = "imagenet"
    _block, _embedding = "layers/dinov2_encoder/layers/dinov2_layer_{i}", "layers/dinov2_embedding"
    signature = f"{_embedding}/patch_embeddings/projection/vars/0"
    rows = (
        *_patches(f"{_embedding}/patch_embeddings/projection"),
        row(f"{_embedding}/cls_token", "patch_encoder/class_token"),
        row(f"{_embedding}/register_tokens", "patch_encoder/register_tokens"),
        row(f"{_embedding}/positions", POSITIONS),
        *_norm(f"{_block}/norm1", f"{BLOCK}/attention_norm"),
        *_attention(f"{_block}/attention/attention"),
        *_layer(f"{_block}/layer_scale1", f"{BLOCK}/attention_scale", ("gamma",)),
        *_norm(f"{_block}/norm2", f"{BLOCK}/mlp_norm"),
        *_layer(f"{_block}/mlp/fc1", f"{BLOCK}/mlp/hidden"),
        *_layer(f"{_block}/mlp/fc2", f"{BLOCK}/mlp/output"),
        *_layer(f"{_block}/mlp/weights_in", f"{BLOCK}/mlp/hidden"),
        *_layer(f"{_block}/mlp/weights_out", f"{BLOCK}/mlp/output"),
        *_layer(f"{_block}/layer_scale2", f"{BLOCK}/mlp_scale", ("gamma",)),
        *_norm("layers/layer_normalization", "encoder_norm"),
    )

    def __init__(self, tokens: tuple[str, ...] = ()):
        self._names = {
            f"{self._embedding}/vars/{number}": f"{self._embedding}/{token}"
            for number, token in enumerate(tokens)
        }
        kept = [name for name, token in self._names.items() if token.endswith(_LEFT_OUT)]
        self.ignored = (*super().ignored, *map(re.escape, kept))

    def bind(self, file):
        stated = file.config.get("config")
        if not isinstance(stated, Mapping):
            return None
        tokens = ["cls_token", "mask_token", "register_tokens", "positions", "published_positions"]
        if not stated.get("use_mask_token", True):
            tokens.remove("mask_token")
        if not stated.get("num_register_tokens"):
            tokens.remove("register_tokens")
        return bind_names(Dinov2HubLayout(tuple(tokens)), file)

    def table_name(self, name):
        return self._names.get(name) or super().table_name(name)

    def read_config(self, bound, fields, given):
        told = super().read_config(bound, fields, given)
        if _inner(bound, "config.json").flag("antialias_in_interpolation", False):
            told["position_embedding_interpolation"] = "bicubic_antialias"
        return told


_LEFT_OUT = ("mask_token", "published_positions")


def _image_shape(stated: Stated) -> list[int] | None:
    """Returns [height, width, channels], or None where nothing tells them."""
    shape = stated.values.get("image_shape")
    if shape is None:
        return None
    if not isinstance(shape, list) or len(shape) != 3 or not all(is_int(s) and s for s in shape):
        raise stated.refusal("image_shape", "[height, width, channels]")
    return shape


def _inner(bound, name: str, given: Mapping[str, Any] | None = None) -> Stated:
    """Returns what the `config` of a JSON file of the preset says, or nothing."""
    where = f"the {name} beside {bound.file.path!r}"
    return Stated(bound.file.beside(name).get("config", {}), where, given)


def _converter(bound) -> dict[str, Any]:
    """Returns the fields of `Preprocessing` that the converter of images tells."""
    stated = _inner(bound, "image_converter.json")
    if not stated.values:
        nested = _inner(bound, "preprocessor.json").values.get("image_converter") or {}
        stated = Stated(nested.get("config", {}), f"the preprocessor.json beside {bound.file.path}")
    if not stated.values:
        return {}
    scale, offset = (_channels(stated, name, value) for name, value in _UNCHANGED.items())
    if min(scale) <= 0:
        raise stated.refusal("scale", "numbers above 0")
    std = [1 / (255 * each) for each in scale]
    fields: dict[str, Any] = {
        "std": tuple(std),
        "mean": tuple(-shift * each for shift, each in zip(offset, std, strict=True)),
        "resize": "crop" if stated.flag("crop_to_aspect_ratio", True) else "squash",
    }
    resampling = stated.text("interpolation", "bilinear")
    if resampling in ("bilinear", "bicubic"):
        fields["resampling"] = resampling
    else:
        bound.guess(f"images are not resampled as {stated.where} says: {resampling}")
    if not stated.flag("antialias", False):
        bound.guess(f"images are resized with antialias, {stated.where} says antialias=False")
    if stated.flag("pad_to_aspect_ratio", False):
        bound.guess(f"images are not padded as {stated.where} says: pad_to_aspect_ratio=True")
    return fields


_UNCHANGED = {"scale": 1.0, "offset": 0.0}


def _channels(stated: Stated, name: str, default: float) -> tuple[float, ...]:
    value = stated.values.get(name, default)
    if isinstance(value, (int, float)):
        stated.values[name] = [value] * 3
    return stated.numbers(name, (default,) * 3)


HUB_VIT, HUB_DINOV2 = VitHubLayout(), Dinov2HubLayout()
