"""Which arrays of a file make which variables: a table of names applied to one file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.weights.files.arrays import ArrayFile, ArraySpec
from keras_vit.weights.forms import FORMS, joined, parted
from keras_vit.weights.names import LAYOUTS
from keras_vit.weights.rows import Layout, Row, fill, match


@dataclasses.dataclass(frozen=True)
class Binding:
    """One row of a table with its numbers filled in.

    Attributes:
        sources: full names in the file.
        targets: canonical names.
        row: the row of the table.
        depth: index on the leading axis of stacked blocks, or None.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    row: Row
    depth: int | None = None

    def convert(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Makes the canonical arrays, one a target, of the stored ones, one a source.

        Raises:
            ValueError: shapes that the row cannot have.
        """
        form = FORMS[self.row.form]
        if self.depth is not None:
            arrays = [array[self.depth] for array in arrays]
        for array in arrays:
            if array.ndim not in form.ndims or not array.size:
                raise ValueError(f"{array.ndim} axes in place of {form.ndims}, or no values")
        return parted(joined([form.forward(array) for array in arrays]), self.row.shares)

    def shapes(self, specs: Mapping[str, ArraySpec]) -> list[tuple[int, ...]]:
        """Returns the canonical shapes, without reading any value.

        Raises:
            ValueError: shapes that the row cannot have.
        """
        stored = [specs[name].shape for name in self.sources]
        if self.depth is not None:
            stored = [shape[1:] for shape in stored]
        form = FORMS[self.row.form]
        # Views of a single zero have any shape at no cost.
        empty = [np.broadcast_to(np.float32(0), shape) for shape in stored]
        for array in empty:
            if array.ndim not in form.ndims or not array.size:
                raise ValueError(f"{array.ndim} axes in place of {form.ndims}, or no values")
        shapes = [form.forward(array).shape for array in empty]
        if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise ValueError("shapes that do not go together")
        width = sum(shape[-1] for shape in shapes)
        unit, rest = divmod(width, sum(self.row.shares))
        if rest:
            raise ValueError(f"{width} values that cannot be cut in parts {self.row.shares}")
        return [(*shapes[0][:-1], unit * share) for share in self.row.shares]


@dataclasses.dataclass(frozen=True)
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
    """

    file: ArrayFile
    layout: Layout
    prefix: str
    bindings: tuple[Binding, ...]
    shapes: Mapping[str, tuple[int, ...]]
    ignored: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfits: tuple[str, ...]
    config: VisionTransformerConfig | None = None
    preprocessing: Preprocessing | None = None

    def source_shape(self, canonical: str) -> tuple[int, ...] | None:
        """Returns the stored shape of the (first) array that makes a variable, or None."""
        binding = self.find(canonical)
        if binding is None:
            return None
        shape = self.file.specs[binding.sources[0]].shape
        return shape if binding.depth is None else shape[1:]

    def find(self, canonical: str) -> Binding | None:
        """Returns the binding that makes a variable, or None."""
        return next((b for b in self.bindings if canonical in b.targets), None)

    def arrays(self, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields canonical names and float32 arrays, reading every array of the file once.

        Args:
            wanted: canonical names to make; the rest is not read.
        """
        held: tuple[tuple[str, ...], list[np.ndarray]] = ((), [])
        for binding in self.bindings:
            if wanted.isdisjoint(binding.targets):
                continue
            if held[0] != binding.sources:
                held = ((), [])
                held = (binding.sources, [self.file.read(name) for name in binding.sources])
            arrays = held[1]
            if binding.depth is None:
                held = ((), [])
            for target, array in zip(binding.targets, binding.convert(arrays), strict=True):
                if target in wanted:
                    yield target, np.ascontiguousarray(array)
            del arrays


def bind(file: ArrayFile) -> BoundCheckpoint:
    """Finds the layout of a file by its names, and what each of its arrays makes.

    Args:
        file: an open checkpoint.

    Raises:
        ValueError: no layout fits; the error shows some names.
    """
    candidates = []
    for layout in LAYOUTS:
        for prefix in layout.prefixes:
            if prefix + layout.signature in file.specs:
                candidates.append(_bind_layout(file, layout, prefix))
                break
    if not candidates:
        names = sorted(file.specs)
        raise ValueError(
            f"Expected the names of a Vision Transformer in {file.path!r}: as google-research, "
            "big_vision, timm or Hugging Face write them. Received: "
            f"{len(names)} arrays such as {names[:6]}."
        )
    return min(candidates, key=lambda bound: len(bound.unexpected))


def _bind_layout(file: ArrayFile, layout: Layout, prefix: str) -> BoundCheckpoint:
    full = {name.removeprefix(prefix): name for name in file.specs}
    bindings, shapes, misfits, used = [], {}, [], set()
    for row in layout.rows:
        if (row.when and row.when not in full) or (row.unless and row.unless in full):
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
    patterns = [re.compile(pattern) for pattern in layout.ignored]
    rest = [name for name in file.specs if name not in used]
    ignored = [name for name in rest if any(pattern.fullmatch(name) for pattern in patterns)]
    return BoundCheckpoint(
        file, layout, prefix, tuple(bindings), shapes, tuple(ignored),
        tuple(name for name in rest if name not in set(ignored)), tuple(misfits),
    )  # fmt: skip


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
        for index in range(min(depth, 1000))
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
