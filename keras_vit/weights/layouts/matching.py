"""Which arrays of a file make which variables: the table of a layout applied to its names."""

import re
from collections.abc import Mapping
from typing import Any

from keras_vit.weights.files.arrays import ArrayFile
from keras_vit.weights.layouts.bound import BoundCheckpoint
from keras_vit.weights.rows import Binding, fill, match

_MOST_BLOCKS = 1000  # of one stacked array
# What programs put in front of all names of a model that they hold.
_WRAPPERS = (
    r"((module|model|_orig_mod|backbone|teacher|student|timm_model|vision_tower|encoder|net|visual"
    r"|trunk)\.)*"
)
_BESIDE_TEACHER = (r"student\..*", r"teacher\.(?!backbone\.).*")
_BESIDE = {"bias": "kernel", "beta": "gamma"}


def bind_names(layout: Any, file: ArrayFile) -> BoundCheckpoint | None:
    """Says what each array of a file makes; None for a file of another layout.

    Args:
        layout: a `Layout`.
        file: an open checkpoint.
    """
    for prefix in layout.prefixes:
        end = prefix + layout.signature
        found = [name.removesuffix(end) for name in file.specs if name.endswith(end)]
        wrappers = [name for name in found if re.fullmatch(_WRAPPERS, name)]
        if wrappers:  # of a teacher and its student the teacher, which is what is evaluated
            best = min(wrappers, key=lambda name: ("teacher" not in name, len(name)))
            return _apply(layout, file, best, best + prefix)
    return None


def _apply(layout: Any, file: ArrayFile, wrapper: str, prefix: str) -> BoundCheckpoint:
    full = {
        layout.table_name(name.removeprefix(prefix)): name
        for name in file.specs
        if name.startswith(prefix) or not layout.prefixed_only
    }
    bindings, shapes, misfits, used, spare = [], {}, [], set(), set()
    for row in layout.rows:
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
    ignored_names = (*layout.ignored, *(_BESIDE_TEACHER if "teacher." in prefix else ()))
    patterns = [re.compile(pattern) for pattern in ignored_names]
    rest = [name for name in file.specs if name not in used]
    ignored = {
        name
        for name in rest
        if any(p.fullmatch(n) for p in patterns for n in (name, name.removeprefix(wrapper)))
    }
    ignored |= spare.intersection(rest)  # what another array takes the place of
    return BoundCheckpoint(
        file, layout, prefix, tuple(bindings), shapes,
        tuple(name for name in rest if name in ignored),
        tuple(name for name in rest if name not in ignored), tuple(misfits),
    )  # fmt: skip


def _numbers(pattern: str, names: Mapping[str, str]) -> list[dict[str, int]]:
    """Returns the numbers with which a pattern occurs among the names."""
    if "{" not in pattern:
        return [{}] if pattern in names else []
    start, end = pattern[: pattern.index("{")], pattern[pattern.rindex("}") + 1 :]
    likely = (name for name in names if name.startswith(start) and name.endswith(end))
    found = (match(pattern, name) for name in likely)
    return sorted((n for n in found if n is not None), key=lambda n: sorted(n.items()))


def _bindings(row, sources, numbers, specs) -> list[Binding]:
    if row.stacked is None:
        return [Binding(sources, tuple(fill(t, numbers) for t in row.targets), row)]
    axis = row.stacked
    depth = min((*specs[name].shape, *(0,) * (axis + 1))[axis] for name in sources)
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
