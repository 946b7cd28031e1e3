"""Relative position bias as data. Nothing here imports Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import check_bool, check_choice, check_int
from keras_vit.vocabulary import RELATIVE_BIASES

INTERPOLATIONS = ("linear", "geometric")


@dataclasses.dataclass(frozen=True)
class RelativeBiasConfig:
    """What is added to the product of a query and a key by where they lie from each other.

    Attributes:
        kind: `"table"`, a learned number for each head and each distance there is (BEiT), or
            `"mlp"`, what a small MLP makes of the logarithms of the distances.
        shared: whether all blocks have one, or else each its own.
        hidden_size: width of that MLP, for `"mlp"`.
        interpolation: how a table is resized to another grid: `"linear"` with half-pixel centres
            (transformers), or `"geometric"`, linear between distances that grow as powers (BEiT,
            timm); that one only as weights are loaded.

    Reference: "BEiT" (arXiv 2106.08254), section 2; "Swin Transformer V2" (arXiv 2111.09883),
    section 3.3, for the MLP.
    """

    kind: str = "table"
    shared: bool = False
    hidden_size: int | None = None
    interpolation: str = "linear"

    def __post_init__(self):
        check_choice("relative_position_bias.kind", self.kind, RELATIVE_BIASES)
        check_bool("relative_position_bias.shared", self.shared)
        check_choice("relative_position_bias.interpolation", self.interpolation, INTERPOLATIONS)
        if self.kind == "mlp":
            check_int("relative_position_bias.hidden_size", self.hidden_size, 1)
        elif self.hidden_size is not None:
            raise ValueError(
                "Expected relative_position_bias.hidden_size=None for a table. "
                f"Received: {self.hidden_size!r}."
            )

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `keras_vit.layers.RelativePositionBias`, but for heads and tokens."""
        return {name: getattr(self, name) for name in ("kind", "hidden_size", "interpolation")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RelativeBiasConfig:
        """Reads a mapping of field names and values."""
        return cls(**values)
