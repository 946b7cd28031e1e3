"""A file whose layout is known: what each of its arrays makes, and its positions."""

import dataclasses
import functools
import itertools
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.vocabulary import PREFIX_ROWS
from keras_vit.weights.files.arrays import ArrayFile
from keras_vit.weights.rows import Binding, match

PATCHES = "patch_encoder/projection/kernel"
POSITIONS = "patch_encoder/position_embedding"
BIAS_TABLE = "relative_bias/table"


@dataclasses.dataclass
class BoundCheckpoint:
    """A file whose layout is known.

    Attributes:
        file: the open file.
        layout: its `Layout`.
        prefix: what stands in front of the names.
        bindings: how variables are made; those of the same sources are neighbours.
        shapes: canonical shapes by canonical name.
        ignored: names that are left out by the layout's own rules (text towers, buffers).
        unexpected: names that no row knows.
        misfits: what is wrong with the arrays of the file among themselves, a line each.
        config: the whole architecture, where the file says it (Keras's own files).
        preprocessing: how images are prepared, where the file says it.
        stored_grid: (rows, columns) of the stored position embedding, once it is settled.
        prefix_rows: leading rows of it that belong to prefix tokens, once it is settled.
        notes: what was taken from the published models of the same shapes, or guessed.
    """

    file: ArrayFile
    layout: Any
    prefix: str
    bindings: tuple[Binding, ...]
    shapes: Mapping[str, tuple[int, ...]]
    ignored: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misfits: tuple[str, ...] = ()
    config: VisionTransformerConfig | None = None
    preprocessing: Preprocessing | None = None
    stored_grid: tuple[int, int] | None = None
    prefix_rows: int | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    def guess(self, line: str) -> None:
        """Notes what was taken for granted and could be otherwise, and warns of it."""
        self.notes.append(line)
        warnings.warn(f"{self.file.path}: {line}.", stacklevel=3)

    @functools.cached_property
    def _by_target(self) -> dict[str, Binding]:
        return {target: binding for binding in self.bindings for target in binding.targets}

    @property
    def decoder(self) -> tuple[str, ...]:
        """Names of the decoder that stands beside an encoder which was pre-trained with it."""
        return tuple(name for name in self.ignored if re.search(r"(^|\.)decoder[._]", name))

    @property
    def patch_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) that the patch embedding reads, or None without one."""
        if self.config is not None:  # Keras's own file has the matrix alone
            hybrid, side = self.config.hybrid, self.config.patch_size
            return (side, side, hybrid.num_channels if hybrid else self.config.in_channels)
        stored = self.source_shape(PATCHES)
        if stored is not None and len(stored) == 2:  # of patches that were cut before: colours
            side = math.isqrt(stored[1] // 3)
            return (side, side, 3) if 3 * side**2 == stored[1] else None
        if stored is None or len(stored) != 4:
            return None
        flax = self.find(PATCHES).row.form == "flax_patch"
        return stored[:3] if flax else (*stored[2:], stored[1])

    @property
    def stem_units(self) -> tuple[int, ...] | None:
        """Units of each stage of the ResNet in front, or None without one."""
        if "stem/root/kernel" not in self.shapes:
            return None
        units: dict[int, int] = {}
        for name in self.shapes:
            found = match("stem/stage_{s}/unit_{u}/conv1/kernel", name)
            if found:
                units[found["s"]] = units.get(found["s"], 0) + 1
        return tuple(units[stage] for stage in sorted(units))

    @property
    def patch_stride(self) -> int:
        """Pixels of the image from one patch to the next."""
        units = self.stem_units
        stem = 1 if units is None else HybridConfig(units_per_stage=units).stride
        return self.patch_shape[0] * stem

    @functools.cached_property
    def bias_grid(self) -> tuple[int, int] | None:
        """(rows, columns) of a table of relative position bias, or None without one.

        Raises:
            ValueError: no square grid, and none stated that fits.
        """
        name = next((n for n in self.shapes if n.endswith(BIAS_TABLE)), None)
        if name is None or self.config is not None:
            return name and self.config.grid_size
        tokens = ("class_token", "distillation_token", "register_tokens")
        prefix = any(f"patch_encoder/{token}" in self.shapes for token in tokens)
        count = self.shapes[name][0] - PREFIX_ROWS * prefix
        side = (math.isqrt(count) + 1) // 2
        size = self.layout.stated_size(self)
        stated = size and tuple(side // self.patch_stride for side in size)
        for grid in (stated, (side, side)):
            if grid and math.prod(2 * side - 1 for side in grid) == count:
                return grid
        raise ValueError(
            f"Expected distances of a square grid in {name}, or its size in a config.json. "
            f"Received: {count} distances in {self.file.path!r}."
        )

    def find(self, canonical: str) -> Binding | None:
        """Returns the binding that makes a variable, or None."""
        return self._by_target.get(canonical)

    def source_shape(self, canonical: str) -> tuple[int, ...] | None:
        """Returns the stored shape of the (first) array that makes a variable, or None."""
        binding = self.find(canonical)
        if binding is None:
            return None
        return binding.stored_shape(self.file.specs[binding.sources[0]].shape)

    def arrays(self, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields canonical names and float32 arrays, the caller's own; reads each of the file once.

        Args:
            wanted: canonical names to make; the rest is not read.
        """
        used = [binding for binding in self.bindings if not wanted.isdisjoint(binding.targets)]
        groups = [list(group) for _, group in itertools.groupby(used, lambda b: b.sources)]
        stored = self.file.read_each(name for group in groups for name in group[0].sources)
        for group in groups:
            arrays = list(itertools.islice(stored, len(group[0].sources)))
            for binding in group:
                for target, array in zip(binding.targets, binding.convert(arrays), strict=True):
                    if target in wanted:  # where bindings share arrays, each gets its own
                        whole = np.ascontiguousarray if len(group) == 1 else np.copy
                        yield target, whole(array)
            del arrays

    def settle_grid(
        self,
        given: tuple[int, int] | None = None,
        likely: tuple[int, int] | None = None,
        square_first: bool = True,
    ) -> None:
        """Finds the grid of the stored position embedding and its prefix rows, once.

        What is told comes first: `given`, or a config beside the file. Else the grid is square, or
        the likely one where there are as many rows.

        Args:
            given: (rows, columns) that the user says it has.
            likely: the grid of the model.
            square_first: whether a square grid is likelier than `likely` where both fit.

        Raises:
            ValueError: no square grid, and none told that fits.
        """
        stored = self.shapes.get(POSITIONS)
        if stored is None or len(stored) != 3 or self.stored_grid is not None:
            return
        prefixes = self.layout.position_rows(self)
        sides = [math.isqrt(max(stored[1] - rows, 0)) for rows in prefixes]
        squares = [(side, side) for side in sides if side]
        guesses = [*squares, likely] if square_first else [likely, *squares]
        size = self.layout.stated_size(self)
        told = given or (size and tuple(side // self.patch_stride for side in size))
        fitting = [
            (rows, tuple(grid))
            for grid in ([told] if given else [told, *guesses])
            for rows in prefixes
            if grid is not None and stored[1] - rows == math.prod(grid)
        ]
        if fitting:
            self.prefix_rows, self.stored_grid = fitting[0]
            rows, columns = self.stored_grid
            if told is None and (rows != columns or len({grid for _, grid in fitting}) > 1):
                self.guess(
                    f"the stored position embedding is taken to have {rows} rows and {columns} "
                    "columns, which nothing tells"
                )
            return
        counts = " or ".join(map(str, sorted(set(prefixes))))
        raise ValueError(
            f"Expected a square grid of positions in {self.file.path!r}, or its size as an "
            f"argument. Received: {stored[1]} rows, {counts} of them for prefix tokens, "
            f"stored_grid={given}. Pass `stored_grid=(rows, columns)`."
        )
