"""A row of the table of published checkpoints, and what makes one in few words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.images.spec import STATISTICS, Preprocessing


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint.

    Attributes:
        model: the factory that it fits, such as `"ViT_B16"`.
        name: its name for `weights=`.
        address: where it lies, for `download.fetch`.
        layout: `"google"`, `"timm"` or `"huggingface"`.
        classes: outputs of its head: 1000 (ImageNet-1k), 21843 (ImageNet-21k), 0 (no head).
        preprocessing: how its images are prepared, with their size.
        licence: the licence of the weights.
        top1: published top-1 accuracy on ImageNet-1k in percent, or None.
        config: fields of the config that neither arrays nor a `config.json` tell.
        checksum: `"sha256:..."` of the file, or None.
        recommended: whether this is the model's `"imagenet"`, its best published classifier.
        note: what one should know about it.
    """

    model: str
    name: str
    address: str
    layout: str
    classes: int
    preprocessing: Preprocessing
    licence: str = "Apache-2.0"
    top1: float | None = None
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    checksum: str | None = None
    recommended: bool = False
    note: str = ""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.preprocessing.size


def squash(size: int, resampling: str = "bilinear", statistics: str = "half") -> Preprocessing:
    """Returns the preparation that squeezes an image to a square of `size` pixels."""
    return Preprocessing(size=(size, size), resampling=resampling, **STATISTICS[statistics])


def crop(size: int, fraction: float, statistics: str = "half") -> Preprocessing:
    """Returns the preparation that cuts a square of `size` pixels out of the middle."""
    return Preprocessing(
        size=(size, size),
        resampling="bicubic",
        resize="crop",
        crop_fraction=fraction,
        **STATISTICS[statistics],
    )


def timm_row(
    model, name, repository, preprocessing, *, top1=None, classes=1000, **fields
) -> Checkpoint:
    """Returns a row of timm."""
    address = f"hf://timm/{repository}"
    return Checkpoint(model, name, address, "timm", classes, preprocessing, top1=top1, **fields)


def huggingface_row(model, name, repository, preprocessing, classes=0, **fields) -> Checkpoint:
    """Returns a row of transformers."""
    address = f"hf://{repository}"
    preprocessing = preprocessing.replace(crop_offset="down")
    return Checkpoint(model, name, address, "huggingface", classes, preprocessing, **fields)
