"""What a row of a name table is, and how numbers are read out of names and put into them.

A row says which arrays of a file make which variables of the model, and in which form (`forms.py`)
they are stored. `{i}` is the number of a block, `{s}` a stage, `{u}` a unit; `{s+1}` counts from 1.
Canonical names are the paths of the variables below the model. Tables are read both ways: to load,
and (the first row that makes a variable) to save.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping

import numpy as np

from keras_vit.weights.files.arrays import ArraySpec
from keras_vit.weights.forms import FORMS, joined, parted

BLOCK = "encoder_block_{i}"
_PLACE = re.compile(r"\{([a-z])(\+1)?\}")


@dataclasses.dataclass(frozen=True)
class Row:
    """Some arrays of a file, and the variables they make.

    Attributes:
        sources: names in the file; several are put side by side along the last canonical axis.
        targets: canonical names; several share that axis.
        form: how each source is stored, a key of `forms.FORMS`.
        shares: parts of the axis that each target takes.
        when: the row holds only where the file has this name too.
        unless: the row holds only where the file does not have this name.
        stacked: the axis of every source that runs over all blocks, or None.
        gap: number of the source before which as many zeros stand as it has values: a part of the
            bias that has no array, since it is always 0.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    form: str = "same"
    shares: tuple[int, ...] = (1,)
    when: str | None = None
    unless: str | None = None
    stacked: int | None = None
    gap: int | None = None


@dataclasses.dataclass(frozen=True)
class Binding:
    """One row of a table with its numbers filled in.

    Attributes:
        sources: full names in the file.
        targets: canonical names.
        row: the row of the table.
        depth: index on the axis of stacked blocks, or None.
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
            arrays = [np.moveaxis(array, self.row.stacked, 0)[self.depth] for array in arrays]
        for array in arrays:
            if array.ndim not in form.ndims or not array.size:
                raise ValueError(f"{array.ndim} axes in place of {form.ndims}, or no values")
        return parted(joined(self._parts(arrays)), self.row.shares)

    def _parts(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        parts, gap = [FORMS[self.row.form].forward(array) for array in arrays], self.row.gap
        if gap is not None:
            parts.insert(gap, np.broadcast_to(parts[gap].dtype.type(0), parts[gap].shape))
        return parts

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the part of a source that is of this block."""
        axis = self.row.stacked
        return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])

    def shapes(self, specs: Mapping[str, ArraySpec]) -> list[tuple[int, ...]]:
        """Returns the canonical shapes, without reading any value.

        Raises:
            ValueError: shapes that the row cannot have.
        """
        stored = [self.stored_shape(specs[name].shape) for name in self.sources]
        form = FORMS[self.row.form]
        # Views of a single zero have any shape at no cost.
        empty = [np.broadcast_to(np.float32(0), shape) for shape in stored]
        for array in empty:
            if array.ndim not in form.ndims or not array.size:
                raise ValueError(f"{array.ndim} axes in place of {form.ndims}, or no values")
        shapes = [part.shape for part in self._parts(empty)]
        if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise ValueError("shapes that do not go together")
        width = sum(shape[-1] for shape in shapes)
        unit, rest = divmod(width, sum(self.row.shares))
        if rest:
            raise ValueError(f"{width} values that cannot be cut in parts {self.row.shares}")
        return [(*shapes[0][:-1], unit * share) for share in self.row.shares]


def row(sources, targets, form: str = "same", **fields) -> Row:
    """Returns a `Row` of one name or several on either side."""
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    return Row(sources, targets, form, **fields)


def linear(sources, targets, form: str = "linear", **fields) -> tuple[Row, Row]:
    """Returns the rows for weight and bias of torch layers."""
    sources = (sources,) if isinstance(sources, str) else sources
    targets = (targets,) if isinstance(targets, str) else targets
    return (
        row([f"{s}.weight" for s in sources], [f"{t}/kernel" for t in targets], form, **fields),
        row([f"{s}.bias" for s in sources], [f"{t}/bias" for t in targets], **fields),
    )


def torch_norm(source: str, target: str, **fields) -> tuple[Row, Row]:
    """Returns the rows for scale and shift of a norm of torch."""
    return (
        row(f"{source}.weight", f"{target}/gamma", **fields),
        row(f"{source}.bias", f"{target}/beta", **fields),
    )


def fill(pattern: str, numbers: dict[str, int]) -> str:
    """Puts numbers into the places of a name.

    Args:
        pattern: a name with places, such as `"blocks.{i}.norm1.weight"`.
        numbers: the number of each place, counted from 0.
    """
    return _PLACE.sub(
        lambda place: str(numbers[place.group(1)] + (place.group(2) is not None)), pattern
    )


def match(pattern: str, name: str) -> dict[str, int] | None:
    """Reads the numbers out of a name, counted from 0; None where it does not fit the pattern."""
    found = _compiled(pattern).fullmatch(name)
    if found is None:
        return None
    shifts = {letter: bool(shift) for letter, shift in _PLACE.findall(pattern)}
    numbers = {letter: int(value) - shifts[letter] for letter, value in found.groupdict().items()}
    return None if any(number < 0 for number in numbers.values()) else numbers


@functools.cache
def _compiled(pattern: str) -> re.Pattern:
    ends = [0, *(end for place in _PLACE.finditer(pattern) for end in place.span())]
    literal = [re.escape(pattern[a:b]) for a, b in zip(ends[::2], [*ends[1::2], None], strict=True)]
    places = [rf"(?P<{place.group(1)}>0|[1-9]\d{{0,4}})" for place in _PLACE.finditer(pattern)]
    text = literal[0] + "".join(p + rest for p, rest in zip(places, literal[1:], strict=True))
    return re.compile(text)
