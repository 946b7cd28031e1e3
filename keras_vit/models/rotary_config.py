"""Rotary positions as data. Nothing here imports Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import check_bool, check_choice, check_number, size_pair
from keras_vit.vocabulary import ROTARY_ORDERS, ROTARY_PAIRS, ROTARY_SCALES

AUGMENTED = {"shift": "[0, inf)", "jitter": "[1, inf)", "rescale": "[1, inf)"}


@dataclasses.dataclass(frozen=True)
class RotaryConfig:
    """How queries and keys are turned by the place of their patch; prefix tokens are not turned.

    Attributes:
        base: of the frequencies, above 1; called temperature or theta elsewhere.
        scale: what is counted: `"index"`, rows and columns, or `"centred"`, from -2 pi to 2 pi
            across the image at any size (DINOv3).
        offset: added to rows and columns that are counted.
        reference_grid: (rows, columns) on which they are counted whatever grid there is (EVA-02),
            or None for the grid there is.
        pairs: channels of a head that are turned together: `"halves"`, one of each half, or
            `"neighbours"`, each two that follow each other.
        order: whether the first frequencies turn by the row, `"yx"`, or by the column, `"xy"`.
        learned: whether each head of each block learns frequencies of its own (RoPE-Mixed).
        shift, jitter, rescale: how coordinates are augmented in training, see
            `keras_vit.layers.PatchCoordinates`; None for not.

    Reference: "Rotary Position Embedding for Vision Transformer" (arXiv 2403.13298), section 3.
    """

    base: float = 100.0
    scale: str = "index"
    offset: float = 0.0
    reference_grid: tuple[int, int] | None = None
    pairs: str = "halves"
    order: str = "yx"
    learned: bool = False
    shift: float | None = None
    jitter: float | None = None
    rescale: float | None = None

    def __post_init__(self):
        if self.reference_grid is not None:
            grid = size_pair("rotary.reference_grid", self.reference_grid)
            object.__setattr__(self, "reference_grid", grid)
        check_number("rotary.base", self.base, "(1, inf)")
        check_number("rotary.offset", self.offset, "(-inf, inf)")
        check_choice("rotary.scale", self.scale, ROTARY_SCALES)
        check_choice("rotary.pairs", self.pairs, ROTARY_PAIRS)
        check_choice("rotary.order", self.order, ROTARY_ORDERS)
        check_bool("rotary.learned", self.learned)
        for name, interval in AUGMENTED.items():
            if getattr(self, name) is not None:
                check_number(f"rotary.{name}", getattr(self, name), interval)

    @property
    def turning(self) -> dict[str, Any]:
        """The arguments of `keras_vit.layers.Rotary`."""
        return {name: getattr(self, name) for name in ("base", "pairs", "order", "learned")}

    @property
    def counting(self) -> dict[str, Any]:
        """The arguments of `keras_vit.layers.PatchCoordinates`, but for the prefix tokens."""
        names = ("scale", "offset", "reference_grid", *AUGMENTED)
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RotaryConfig:
        """Reads a mapping of field names and values."""
        return cls(**values)
