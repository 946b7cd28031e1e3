"""Columns of text."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Puts cells under each other.

    Args:
        rows: cells; all rows have the same number.
        left: how many of the first columns stand to the left; the others stand to the right.

    Returns:
        A line for each row, two spaces between its cells.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
