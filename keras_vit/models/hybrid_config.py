"""The ResNet of a hybrid as data. Nothing here imports Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import check_choice, check_int, check_number

WEIGHT_STANDARDIZATIONS = ("std_plus_epsilon", "variance_plus_epsilon")


@dataclasses.dataclass(frozen=True)
class HybridConfig:
    """The ResNet in front of a hybrid: its feature map takes the place of the image.

    Attributes:
        stem_width: channels of the 7x7 root convolution and width of the first stage.
        units_per_stage: bottleneck units of each stage; empty for the root alone.
        group_norm_groups: groups of every group normalisation.
        group_norm_epsilon: added to the variance of every group normalisation.
        weight_standardization: `"std_plus_epsilon"` divides by `std + epsilon` (Google),
            `"variance_plus_epsilon"` by `sqrt(variance + epsilon)` (timm).
        weight_standardization_epsilon: that epsilon.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1, hybrid architecture;
    "Big Transfer" (arXiv 1912.11370) for the ResNet.
    """

    stem_width: int = 64
    units_per_stage: tuple[int, ...] = ()
    group_norm_groups: int = 32
    group_norm_epsilon: float = 1e-6
    weight_standardization: str = "std_plus_epsilon"
    weight_standardization_epsilon: float = 1e-5

    def __post_init__(self):
        object.__setattr__(self, "units_per_stage", tuple(self.units_per_stage))
        check_int("hybrid.stem_width", self.stem_width, 1)
        for units in self.units_per_stage:
            check_int("hybrid.units_per_stage", units, 1)
        check_int("hybrid.group_norm_groups", self.group_norm_groups, 1)
        if self.stem_width % self.group_norm_groups:
            raise ValueError(
                "Expected `hybrid.stem_width` to be divisible by `group_norm_groups`. Received: "
                f"stem_width={self.stem_width}, group_norm_groups={self.group_norm_groups}."
            )
        for field in ("group_norm_epsilon", "weight_standardization_epsilon"):
            check_number(f"hybrid.{field}", getattr(self, field), "(0, inf)")
        check_choice(
            "hybrid.weight_standardization", self.weight_standardization, WEIGHT_STANDARDIZATIONS
        )

    @property
    def stride(self) -> int:
        """Pixels of the image to one step on the feature map."""
        return 4 * 2 ** max(0, len(self.units_per_stage) - 1)

    @property
    def num_channels(self) -> int:
        """Channels of the feature map."""
        stages = len(self.units_per_stage)
        return self.stem_width * 4 * 2 ** (stages - 1) if stages else self.stem_width

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HybridConfig:
        """Reads a mapping; what follows from other fields (`total_stride`) may be there."""
        values = dict(values)
        values.pop("total_stride", None)
        padding = values.pop("padding", "same")
        check_choice("hybrid.padding", padding, ("same",))
        return cls(**values)
