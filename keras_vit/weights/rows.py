"""What a row of a name table is, and how numbers are read out of names and put into them."""

from __future__ import annotations

import dataclasses
import functools
import re

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
        stacked: every source carries all blocks on a leading axis.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    form: str = "same"
    shares: tuple[int, ...] = (1,)
    when: str | None = None
    unless: str | None = None
    stacked: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one family of libraries names the arrays of its files.

    Attributes:
        name: `"google"`, `"timm"` or `"huggingface"`.
        signature: a name that every file of this layout has, after its prefix.
        prefixes: what may stand in front of the names, most telling first.
        rows: the table.
        ignored: patterns of full names that are left out: text towers, buffers, optimizer state.
    """

    name: str
    signature: str
    prefixes: tuple[str, ...]
    rows: tuple[Row, ...]
    ignored: tuple[str, ...] = ()


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
