"""How an image becomes the input of a model, as data.

Nothing here imports Keras.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import check_choice, check_number, size_pair

STATISTICS = {
    "half": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    "imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "clip": {
        "mean": (0.48145466, 0.4578275, 0.40821073),
        "std": (0.26862954, 0.26130258, 0.27577711),
    },
}
"""`mean` and `std` of `Preprocessing` as published models were trained with them, by name."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a model; comes with the checkpoint and is saved with it.

    Attributes:
        size: (height, width) in pixels that the model takes.
        resampling: `"bilinear"` or `"bicubic"`, with antialias as in PIL.
        resize: `"squash"` to `size / crop_fraction` whatever the aspect ratio, or `"crop"`: the
            shorter side is resized to that. Of what is larger than `size`, the centre is cut out.
        crop_fraction: part of the resized image that the centre crop keeps, in (0, 1].
        mean: subtracted from each channel after scaling to [0, 1].
        std: each channel is divided by it afterwards.
        crop_offset: where a crop begins whose margins together are an odd number of pixels:
            `"half_even"`, half of it rounded to an even number as torchvision and timm do, or
            `"down"` as transformers does.

    The defaults map to [-1, 1] as the released Google checkpoints expect: (x - 127.5) / 127.5.
    """

    size: tuple[int, int] = (224, 224)
    resampling: str = "bilinear"
    resize: str = "squash"
    crop_fraction: float = 1.0
    mean: tuple[float, ...] = STATISTICS["half"]["mean"]
    std: tuple[float, ...] = STATISTICS["half"]["std"]
    crop_offset: str = "half_even"

    def __post_init__(self):
        object.__setattr__(self, "size", size_pair("size", self.size))
        for field in ("mean", "std"):
            object.__setattr__(self, field, tuple(float(value) for value in getattr(self, field)))
        object.__setattr__(self, "crop_fraction", float(self.crop_fraction))
        check_choice("resampling", self.resampling, ("bilinear", "bicubic"))
        check_choice("resize", self.resize, ("squash", "crop"))
        check_choice("crop_offset", self.crop_offset, ("half_even", "down"))
        check_number("crop_fraction", self.crop_fraction, "(0, 1]")
        if len(self.mean) != len(self.std) or not all(value > 0 for value in self.std):
            raise ValueError(
                "Expected `mean` and a positive `std` for each channel. "
                f"Received: mean={self.mean}, std={self.std}."
            )

    def replace(self, **changes: Any) -> Preprocessing:
        """Returns this preprocessing with some fields changed and all of it checked again."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values that JSON can hold."""
        values = dataclasses.asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Reads what `to_dict` wrote."""
        return cls(**values)
