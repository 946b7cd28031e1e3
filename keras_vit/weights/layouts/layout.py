"""What a layout is: all that is known of the files of one family of libraries; and a file of it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.weights.files.arrays import ArrayFile
from keras_vit.weights.files.suffixes import SAFETENSORS
from keras_vit.weights.forms import FORMS, Sizes, joined
from keras_vit.weights.layouts.features import stored_features
from keras_vit.weights.rows import Binding, Row, fill, match

PATCHES = "patch_encoder/projection/kernel"
POSITIONS = "patch_encoder/position_embedding"
_MOST_BLOCKS = 1000  # of one stacked array


@dataclasses.dataclass
class BoundCheckpoint:
    """A file whose layout is known.

    Attributes:
        file: the open file.
        layout: its layout.
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
    layout: Layout
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
    def patch_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) that the patch embedding reads, or None without one."""
        stored = self.source_shape(PATCHES)
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

    def find(self, canonical: str) -> Binding | None:
        """Returns the binding that makes a variable, or None."""
        return self._by_target.get(canonical)

    def source_shape(self, canonical: str) -> tuple[int, ...] | None:
        """Returns the stored shape of the (first) array that makes a variable, or None."""
        binding = self.find(canonical)
        if binding is None:
            return None
        shape = self.file.specs[binding.sources[0]].shape
        return shape if binding.depth is None else shape[1:]

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


class Layout:
    """How one family of libraries names and prepares what is in its files.

    A subclass owns all that is known of them; what is read from canonical shapes alone is shared
    (`weights/architecture.py`).

    Attributes:
        name: `"google"`, `"timm"`, `"huggingface"` or `"keras"`.
        signature: a name that every file of this layout has, after its prefix.
        prefixes: what may stand in front of the names, most telling first.
        rows: the table of names.
        ignored: patterns of names, as they are without a wrapper, that are left out: text towers,
            buffers, optimizer state.
        suffix: that of the file with the weights.
        saved: whether models can be saved in it.
        prefixed_only: whether names without the prefix belong to something else.
    """

    name = ""
    signature = ""
    prefixes: tuple[str, ...] = ("",)
    rows: tuple[Row, ...] = ()
    ignored: tuple[str, ...] = ()
    suffix = SAFETENSORS
    saved = True
    prefixed_only = False

    def bind(self, file: ArrayFile) -> BoundCheckpoint | None:
        """Says what each array of a file makes; None for a file of another layout.

        Args:
            file: an open checkpoint.
        """
        for prefix in self.prefixes:
            end = prefix + self.signature
            found = [name.removesuffix(end) for name in file.specs if name.endswith(end)]
            wrappers = [name for name in found if re.fullmatch(_WRAPPERS, name)]
            if wrappers:  # of a teacher and its student the teacher, which is what is evaluated
                best = min(wrappers, key=lambda name: ("teacher" not in name, len(name)))
                return self._bind(file, best, best + prefix)
        return None

    def table_name(self, name: str) -> str:
        """Returns the name that the table has for a name in the file, which has no prefix."""
        return name

    def _bind(self, file: ArrayFile, wrapper: str, prefix: str) -> BoundCheckpoint:
        full = {
            self.table_name(name.removeprefix(prefix)): name
            for name in file.specs
            if name.startswith(prefix) or not self.prefixed_only
        }
        bindings, shapes, misfits, used, spare = [], {}, [], set(), set()
        for row in self.rows:
            if (row.when and row.when not in full) or (row.unless and row.unless in full):
                spare.update(
                    full.get(fill(source, numbers))
                    for source in row.sources
                    for numbers in _numbers(source, full)
                )
                continue
            for numbers in _numbers(row.sources[0], full):
                sources = tuple(
                    full.get(fill(s, numbers), prefix + fill(s, numbers)) for s in row.sources
                )
                used.update(sources)
                absent = [name for name in sources if name not in file.specs]
                if absent:
                    misfits.append(f"{sources[0]} comes without {', '.join(absent)}")
                    continue
                for binding in _bindings(row, sources, numbers, file.specs):
                    _add(binding, file.specs, bindings, shapes, misfits)
        misfits += _torn_pairs(shapes)
        ignored_names = (*self.ignored, *(_BESIDE_TEACHER if "teacher." in prefix else ()))
        patterns = [re.compile(pattern) for pattern in ignored_names]
        rest = [name for name in file.specs if name not in used]
        ignored = {
            name
            for name in rest
            if any(p.fullmatch(n) for p in patterns for n in (name, name.removeprefix(wrapper)))
        }
        ignored |= spare.intersection(rest)  # what another array takes the place of
        return BoundCheckpoint(
            file, self, prefix, tuple(bindings), shapes,
            tuple(name for name in rest if name in ignored),
            tuple(name for name in rest if name not in ignored), tuple(misfits),
        )  # fmt: skip

    def read_config(
        self, bound: BoundCheckpoint, fields: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the config fields that shapes alone do not tell.

        Args:
            bound: a checkpoint of this layout.
            fields: those that shapes tell.
            given: those that the user says, which take the place of all others.

        Returns:
            Fields of `VisionTransformerConfig`; they take the place of those in `fields`.

        Raises:
            ValueError: a config beside the file that does not belong to the arrays, or says what no
                field expresses.
        """
        raise NotImplementedError

    def foreign_features(self, bound: BoundCheckpoint) -> list[str]:
        """Names the features of a model that this package does not have, as its names tell them.

        Args:
            bound: a checkpoint of this layout.
        """
        return stored_features(bound.unexpected)

    def position_rows(self, bound: BoundCheckpoint) -> Sequence[int]:
        """Returns how many rows of the position embedding may belong to prefix tokens."""
        return [sum(f"patch_encoder/{token}_token" in bound.shapes for token in _LEADING)]

    def stated_size(self, bound: BoundCheckpoint) -> tuple[int, int] | None:
        """Returns the (height, width) in pixels that a config beside the file says, or None."""
        return None

    def preprocessing(
        self, bound: BoundCheckpoint, size: tuple[int, int], channels: int
    ) -> Preprocessing:
        """Returns how the images of a checkpoint are prepared.

        Args:
            bound: a checkpoint of this layout.
            size: (height, width) in pixels that the model takes.
            channels: channels of the image.

        Returns:
            What a config beside the file says, else what the family was published with.
        """
        fields = self.prepare(bound, size)
        if channels != 3:
            half = (0.5,) * channels
            fields.update(mean=half, std=half)
        return Preprocessing(size=size, **fields)

    def prepare(self, bound: BoundCheckpoint, size: tuple[int, int]) -> dict[str, Any]:
        """Returns the fields of `preprocessing` that differ from the defaults."""
        return {}

    def suits(self, config: VisionTransformerConfig) -> bool:
        """Whether this is the layout, of all with its name, that a model is saved in."""
        return True

    def checks(self, config: VisionTransformerConfig) -> list[tuple[str, Any, str]]:
        """Returns (field, whether the layout has a place for its value, what it needs)."""
        raise NotImplementedError

    def obstacles(self, config: VisionTransformerConfig) -> list[str]:
        """Returns what the layout has no place for, as `field=value (what it needs)`.

        Args:
            config: the architecture.

        Returns:
            One line a field; an empty list where the layout can express the model.
        """
        return [
            f"{field}={getattr(config, field)!r} ({need})"
            for field, fits, need in self.checks(config)
            if not fits
        ]

    def target(self, path: Any) -> Path:
        """Returns the file that the weights are written to.

        Raises:
            ValueError: a path of another kind.
        """
        target = Path(path)
        if target.suffix != self.suffix or target.is_dir():
            raise ValueError(
                f"Expected a path that ends in {self.suffix} for the {self.name} layout. "
                f"Received: {os.fspath(path)!r}."
            )
        return target

    def avoided(self, config: VisionTransformerConfig) -> tuple[str, ...]:
        """Returns patterns of source names whose rows are passed over when a model is saved."""
        return ()

    def full_name(self, name: str, config: VisionTransformerConfig) -> str:
        """Returns the name in the file for a name of the table."""
        return name

    def write_arrays(
        self, values: Mapping[str, np.ndarray], config: VisionTransformerConfig
    ) -> dict[str, np.ndarray]:
        """Turns canonical arrays into stored ones.

        Args:
            values: arrays by canonical name.
            config: the architecture.

        Returns:
            Arrays by their name in the file; the first row that makes a variable counts.
        """
        sizes, avoided = Sizes(config.patch_size, config.num_heads), self.avoided(config)
        rows = [
            row
            for row in self.rows
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
            parts = np.split(whole, len(row.sources), axis=-1)
            for source, part in zip(row.sources, parts, strict=True):
                stored = FORMS[row.form].back(part, sizes)
                stored_name = self.full_name(fill(source, numbers), config)
                arrays[stored_name] = np.ascontiguousarray(stored)
        return arrays

    def write_config(
        self, config: VisionTransformerConfig, preprocessing: Preprocessing
    ) -> dict[str, dict[str, Any]]:
        """Returns the JSON files that stand beside the weights, by their name.

        Args:
            config: the architecture.
            preprocessing: how its images are prepared.
        """
        return {}


# What programs put in front of all names of a model that they hold.
_WRAPPERS = (
    r"((module|model|_orig_mod|backbone|teacher|student|timm_model|vision_tower|encoder|net|visual"
    r"|trunk)\.)*"
)
_BESIDE_TEACHER = (r"student\..*", r"teacher\.(?!backbone\.).*")
_BESIDE = {"bias": "kernel", "beta": "gamma"}
_LEADING = ("class", "distillation")
_HYBRID_STYLE = (
    "group_norm_groups",
    "group_norm_epsilon",
    "weight_standardization",
    "weight_standardization_epsilon",
)


def hybrid_fits(hybrid: HybridConfig | None, style: HybridConfig) -> bool:
    """Whether a ResNet, where there is one, computes its norms as another does."""
    return hybrid is None or all(getattr(hybrid, f) == getattr(style, f) for f in _HYBRID_STYLE)


def _numbers(pattern: str, names: Mapping[str, str]) -> list[dict[str, int]]:
    """Returns the numbers with which a pattern occurs among the names."""
    if "{" not in pattern:
        return [{}] if pattern in names else []
    found = (match(pattern, name) for name in names)
    return sorted((n for n in found if n is not None), key=lambda n: sorted(n.items()))


def _bindings(row, sources, numbers, specs) -> list[Binding]:
    if not row.stacked:
        return [Binding(sources, tuple(fill(t, numbers) for t in row.targets), row)]
    depth = min((specs[name].shape or (0,))[0] for name in sources)
    return [
        Binding(sources, tuple(fill(t, {"i": index}) for t in row.targets), row, index)
        for index in range(min(depth, _MOST_BLOCKS))
    ]


def _add(binding, specs, bindings, shapes, misfits) -> None:
    """Adds a binding, or a line on why it cannot be one."""
    stored = ", ".join(f"{name} {specs[name].shape}" for name in binding.sources)
    try:
        made = binding.shapes(specs)
    except ValueError as error:
        misfits.append(f"{stored}: {error}")
        return
    twice = [target for target in binding.targets if target in shapes]
    if twice:
        misfits.append(f"{stored}: {', '.join(twice)} is in the file a second time")
        return
    bindings.append(binding)
    shapes.update(zip(binding.targets, made, strict=True))


def _torn_pairs(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Says of which layers a part is there without its other part, or of another size."""
    lines = []
    for name, shape in shapes.items():
        layer, _, part = name.rpartition("/")
        whole = f"{layer}/{_BESIDE.get(part)}"
        if part in _BESIDE and whole not in shapes:
            lines.append(f"{name} {shape} comes without what makes {whole}")
        elif part in _BESIDE and shapes[whole][-1:] != shape:
            lines.append(f"{name} {shape} does not go with {whole} {shapes[whole]}")
    return lines


def _row_for(name: str, rows: list[Row]) -> tuple[Row, dict[str, int]]:
    for row in rows:
        for target in row.targets:
            numbers = match(target, name)
            if numbers is not None:
                return row, numbers
    raise ValueError(f"Expected a variable that the layout has a name for. Received: {name!r}.")
