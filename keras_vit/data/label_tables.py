"""Folders whose labels stand in a table: a CSV file of images, a row each."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import ImageDataset
from keras_vit.data.folders import HELD_OUT_FRACTION, IMAGE_SUFFIXES, hold_out, split_of_paths
from keras_vit.data.scan import MAX_NAMED, check_images
from keras_vit.data.stratify import label_groups

TABLE = "labels.csv"
TABLES = {"train.csv": "train", "validation.csv": "validation", "test.csv": "test"}
LABELS = "labels"  # the column of several words
_SEPARATOR = ";"
_BITS = {"0": 0.0, "1": 1.0}


@dataclasses.dataclass(frozen=True)
class Row:
    """One image of a table.

    Attributes:
        place: where it stands, such as `"labels.csv, line 3"`.
        file: its path below the folder.
        cells: what follows.
    """

    place: str
    file: str
    cells: tuple[str, ...]


def is_table_folder(folder: str | os.PathLike) -> bool:
    """Says whether labels stand in a table of a folder: `labels.csv`, or `train.csv`."""
    return any((Path(folder) / name).is_file() for name in (TABLE, "train.csv"))


def read_table_folder(
    folder: str | os.PathLike,
    *,
    held_out_fraction: float = HELD_OUT_FRACTION,
    skip_corrupt: bool = False,
    task: str | None = None,
) -> ImageDataset:
    """Reads a folder of images whose labels stand in a table, and checks every row and file.

    The table is `labels.csv`, of which a part is held out for validation by a fixed seed; or
    `train.csv`, with `validation.csv` and `test.csv` where there are such. Its first column has the
    files, relative to the folder. What follows tells the task:

    - a column `labels` of words with `;` between them, or several columns of 0 and 1: labels, of
      which an image has any (`"labels"`);
    - one column of 0 and 1: a label that an image has or not (`"binary"`);
    - columns of numbers: values (`"regression"`);
    - one column of words: the class (`"classes"`).

    Arguments are those of `keras_vit.data.load`.

    Raises:
        ValueError: what is wrong with the table, up to ten places: rows of another length, files
            that are not there or come twice, values of another kind, labels that no training image
            has; or files that are not whole images.
    """
    folder = Path(folder).expanduser()
    columns, rows = _read_tables(folder)
    task = task or _infer_task(columns, [cell for row in _all(rows) for cell in row.cells])
    faults = _file_faults(folder, _all(rows))
    names, labels, wrong = _parse(task, columns, rows)
    _refuse(folder, task, faults + wrong)
    _warn(folder, _all(rows), names, labels["train"])
    paths = {role: [folder / row.file for row in found] for role, found in rows.items()}
    skipped = check_images(folder, sum(paths.values(), []), skip_corrupt=skip_corrupt)
    parts = {}
    for role, found in paths.items():
        kept = [index for index, path in enumerate(found) if path not in skipped]
        parts[role] = [os.fspath(found[index]) for index in kept], labels[role][kept]
    if len(parts) == 1:
        groups = None if task == "classes" else label_groups(parts["train"][1])
        parts = hold_out(folder, *parts["train"], held_out_fraction, groups)
    splits = {role: split_of_paths(role, *part) for role, part in parts.items()}
    return ImageDataset(os.fspath(folder), tuple(names), task=task, **splits)


def _all(rows: dict[str, list[Row]]) -> list[Row]:
    return sum(rows.values(), [])


def _read_tables(folder: Path) -> tuple[tuple[str, ...], dict[str, list[Row]]]:
    """Returns the columns behind the first one, and the rows of each split."""
    found = {role: folder / name for name, role in TABLES.items() if (folder / name).is_file()}
    whole = folder / TABLE
    if whole.is_file() and found:
        names = ", ".join(path.name for path in found.values())
        raise ValueError(
            f"Expected either {TABLE} or a table for each split in '{folder}'. Received: {TABLE} "
            f"beside {names}."
        )
    tables = {role: _read(path) for role, path in (found or {"train": whole}).items()}
    headers = {role: header for role, (header, _) in tables.items()}
    if len(set(headers.values())) > 1:
        raise ValueError(
            f"Expected the same columns in every table of '{folder}'. Received: {headers}."
        )
    return headers["train"], {role: rows for role, (_, rows) in tables.items()}


def _read(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, tuple(map(str.strip, cells))) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"Expected a CSV file in UTF-8. Received: '{path}', {error}.") from error
    header = lines[0][1] if lines else ()
    if len(header) < 2 or not all(header[1:]) or len(set(header)) < len(header):
        raise ValueError(
            f"Expected a first line of at least two names with commas between in '{path}': the "
            f"column of the files, and one for each label. Received: {','.join(header)!r}."
        )
    if len(lines) < 2:
        raise ValueError(f"Expected a row for each image in '{path}'. Received: a header alone.")
    rows = [Row(f"{path.name}, line {n}", cells[0], cells[1:]) for n, cells in lines[1:]]
    short = [f"{row.place} has {1 + len(row.cells)}" for row in rows
             if len(row.cells) != len(header) - 1]  # fmt: skip
    if short:
        more = f" and {len(short) - MAX_NAMED} more" if len(short) > MAX_NAMED else ""
        raise ValueError(
            f"Expected {len(header)} cells in every row of '{path}', as its first line has. "
            f"Received: {'; '.join(short[:MAX_NAMED])}{more}."
        )
    return header[1:], rows


def _infer_task(columns: tuple[str, ...], cells: Sequence[str]) -> str:
    """Says what most cells are for; those of another kind are faults then."""
    if columns == (LABELS,):
        return "labels"
    if 2 * sum(cell in _BITS for cell in cells) > len(cells):
        return "labels" if len(columns) > 1 else "binary"
    if 2 * sum(_number(cell) is not None for cell in cells) > len(cells):
        return "regression"
    if len(columns) == 1:
        return "classes"
    raise ValueError(
        "Expected columns of 0 and 1, columns of numbers, or one column of words behind that of "
        f"the files. Received: {', '.join(columns)}, most of whose cells are neither."
    )


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < np.finfo("float32").max else None


def _file_faults(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Says which files are not there, and which come twice."""
    faults, seen = [], {}
    for row in rows:
        path = os.path.normpath(row.file)
        if path in seen:
            faults.append(f"{row.place}: {row.file!r} again, after {seen[path]}")
        elif not row.file or not (folder / row.file).exists():
            faults.append(f"{row.place}: no file {row.file!r}")
        seen.setdefault(path, row.place)
    return faults


def _parse(
    task: str, columns: tuple[str, ...], rows: dict[str, list[Row]]
) -> tuple[Sequence[str], dict[str, np.ndarray], list[str]]:
    """Returns the names of classes, labels or values, the labels of each split, and the faults."""
    if task == "classes" or columns == (LABELS,):
        several = task == "labels"
        if len(columns) > 1 or task not in ("classes", "labels"):
            raise ValueError(f"Expected columns for {task}. Received: {', '.join(columns)}.")
        words = {role: [_words(row, several) for row in found] for role, found in rows.items()}
        names = sorted(set().union(*words["train"]))
        faults = [
            f"{row.place}: {', '.join(sorted(set(given) - set(names))) or 'no class'}"
            for role, found in rows.items()
            for row, given in zip(found, words[role], strict=True)
            if not set(given) <= set(names) or not (several or given)
        ]
        if faults:
            return names, {}, faults
        hot = {role: np.array([[name in given for name in names] for given in found], "float32")
               for role, found in words.items()}  # fmt: skip
        labels = hot if several else {role: found.argmax(-1) for role, found in hot.items()}
        return names, labels, []
    if (task == "binary") != (len(columns) == 1) and task != "regression":
        raise ValueError(
            f"Expected {'one column' if task == 'binary' else 'several columns'} of 0 and 1 for "
            f"{task}. Received: {', '.join(columns)}."
        )
    read = _number if task == "regression" else _BITS.get
    faults = [
        f"{row.place}: {cell!r} as {name}"
        for row in _all(rows)
        for name, cell in zip(columns, row.cells, strict=True)
        if read(cell) is None
    ]
    if faults:
        return columns, {}, faults
    labels = {role: np.array([[read(cell) for cell in row.cells] for row in found], "float32")
              for role, found in rows.items()}  # fmt: skip
    return columns, labels, []


def _words(row: Row, several: bool) -> list[str]:
    parts = row.cells[0].split(_SEPARATOR) if several else row.cells
    return [part.strip() for part in parts if part.strip()]


def _refuse(folder: Path, task: str, faults: Sequence[str]) -> None:
    if not faults:
        return
    wanted = {
        "labels": "labels (0 or 1, or words that training images have)",
        "binary": "0 or 1",
        "regression": "finite numbers",
        "classes": "a class that training images have",
    }[task]
    more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
    raise ValueError(
        f"Expected a file of its own and {wanted} in every row of the tables in '{folder}', for "
        f"the task {task!r}. Received: {'; '.join(faults[:MAX_NAMED])}{more}. Mend these rows, or "
        "name another task (--task)."
    )


def _warn(folder: Path, rows: Sequence[Row], names: Sequence[str], labels: np.ndarray) -> None:
    """Tells of images that no row has, and of labels that are the same in all training images."""
    known = {os.path.normpath(folder / row.file) for row in rows}
    rest = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and os.path.normpath(path) not in known
    ]
    if rest:
        warnings.warn(
            f"{len(rest)} images below '{folder}' are passed over, as no table has them, such as "
            f"'{rest[0].relative_to(folder)}'.",
            stacklevel=3,
        )
    same = labels.ndim > 1 and np.ptp(labels, axis=0) == 0
    if np.any(same):
        told = ", ".join(name for name, is_same in zip(names, same, strict=True) if is_same)
        warnings.warn(
            f"All training images of '{folder}' have the same of these, which teaches nothing: "
            f"{told}.",
            stacklevel=3,
        )
