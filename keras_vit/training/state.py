"""Checkpoints of a run: one file holds all arrays and a record, and is whole or not there.

A file is a `.safetensors` with the record as JSON in its header. It is written beside its target,
brought to the disk and moved into place, so that a process that dies at any moment, or a power cut,
leaves the older files as they were. Its last four bytes are the checksum of all before them, so
that a file that a disk damaged anywhere is not taken.
"""

import dataclasses
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_int
from keras_vit.files import remove_leftovers, replacing
from keras_vit.weights.files.run_checkpoint import KEY, checksum
from keras_vit.weights.files.safetensors import SafetensorsFile, write_safetensors

BEST = "best.safetensors"
_FORMAT = 2
_CHECKSUM = "checksum"
_FILE = re.compile(r"step_(\d+)\.safetensors")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What one file holds.

    Attributes:
        path: the file.
        step: optimizer steps done.
        arrays: values by name, as `named_variables` gives names.
        record: what else was saved; plain JSON values.
    """

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    record: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    The folder holds `step_00000120.safetensors` and so on, the last ones, and `best.safetensors`.

    Args:
        folder: need not exist.
        keep_last: how many of the last ones stay, at least 1.
    """

    def __init__(self, folder: str | os.PathLike, *, keep_last: int = 3):
        check_int("keep_last", keep_last, 1)
        self.folder = Path(folder)
        self.keep_last = keep_last

    def steps(self) -> list[int]:
        """Returns the steps of the files that are there, first to last."""
        names = (path.name for path in self.folder.iterdir()) if self.folder.is_dir() else ()
        return sorted(int(found[1]) for found in map(_FILE.fullmatch, names) if found)

    def path(self, step: int) -> Path:
        """Returns where the checkpoint of a step is, or would be."""
        return self.folder / f"step_{step:08d}.safetensors"

    def save(self, step: int, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> Path:
        """Writes a checkpoint, then removes those that are too old.

        A file of the same step is replaced; the record has plain values that JSON can hold.

        Raises:
            OSError: no room, no right to write, or the like; names the file and the cause. What
                was there before is still there.
        """
        path = self.path(step)
        try:
            with replacing(path, durable=True) as temporary:
                _write(temporary, step, arrays, record)
        except OSError as error:
            kept = (
                f"{self.path(self.steps()[-1])} is whole" if self.steps() else "there is none yet"
            )
            raise OSError(
                f"Expected to write the checkpoint {path}. Received: {error}. Make room or give "
                f"another folder, then resume; of the older checkpoints, {kept}."
            ) from error
        for old in self.steps()[: -self.keep_last]:
            if old != step:
                self.path(old).unlink(missing_ok=True)
        return path

    def keep_best(self, step: int) -> Path:
        """Makes `best.safetensors` the checkpoint of a step that is there.

        Returns:
            The file: another name for the same bytes where the disk knows that, else a copy.
        """
        best = self.folder / BEST
        with replacing(best) as temporary:
            try:
                os.link(self.path(step), temporary)
            except OSError:
                shutil.copyfile(self.path(step), temporary)
        return best

    def latest(self) -> Checkpoint | None:
        """Reads the last checkpoint that is whole; warns of any later one that is not.

        Returns:
            The checkpoint, or None where the folder has none.

        Raises:
            OSError: there are files, but none is whole.
        """
        damaged = []
        for step in reversed(self.steps()):
            try:
                return read(self.path(step))
            except (OSError, ValueError) as error:
                damaged.append(str(error))
                warnings.warn(f"A checkpoint is left out: {error}", stacklevel=2)
        if damaged:
            raise OSError(
                f"Expected a whole checkpoint in {self.folder}. Received: {' '.join(damaged)} "
                "Start anew with resume=False or in another folder."
            )
        return None

    def tidy(self) -> None:
        """Removes what a killed process left half-written; for the one process that trains."""
        remove_leftovers(self.folder)

    def clear(self, *, but_last: bool = False) -> None:
        """Removes the checkpoints, or all but the last one and the best."""
        self.tidy()
        for step in self.steps()[: -1 if but_last else None]:
            self.path(step).unlink(missing_ok=True)
        if not but_last:
            (self.folder / BEST).unlink(missing_ok=True)


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads what `Checkpoints.save` wrote, and compares the file with its checksum.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is damaged or of another kind; names the file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            whole = checksum(file) == file.read()
        file = SafetensorsFile(path)
        header = json.loads(file.metadata.get(KEY, "null"))
        if header is None or header["format"] != _FORMAT:
            raise ValueError("not a checkpoint of a run, or one of another version of keras_vit")
        if not whole:
            raise ValueError("a damaged file, whose checksum is wrong")
        del file.specs[_CHECKSUM]
        arrays = {name: file.stored(name) for name in file.specs}
        return Checkpoint(path, header["step"], arrays, header["record"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"Expected {path} to be a whole checkpoint of a run. Received: {error}."
        ) from error


def named_variables(**groups: Sequence[keras.Variable]) -> dict[str, keras.Variable]:
    """Gives each variable a name that is unique and the same in the next process.

    Args:
        **groups: lists of variables in their own order, such as `model=model.variables`.

    Returns:
        Variables by `group/number/path`, for example `model/00012/head/kernel`.
    """
    return {
        f"{group}/{index:05d}/{variable.path}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def values_of(variables: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Returns the values of variables; also of those under a `tf.distribute` strategy."""
    return {name: np.asarray(variable.numpy(), order="C") for name, variable in variables.items()}


def restore(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Gives variables the saved values, or changes nothing.

    Names need to agree but for the numbers that Keras counts up within a process
    (`seed_generator_7`).

    Raises:
        ValueError: lists every name, shape and dtype that does not fit.
    """
    saved = {_place(name): (name, array) for name, array in arrays.items()}
    pairs, misfits = [], []
    for name, variable in variables.items():
        wanted = f"{name} {keras.backend.standardize_dtype(variable.dtype)} {tuple(variable.shape)}"
        if _place(name) not in saved:
            misfits.append(f"{wanted}: not in the checkpoint")
            continue
        other, array = saved.pop(_place(name))
        pairs.append((variable, array))
        found = f"{other} {array.dtype.name} {array.shape}"
        if _uncounted(found) != _uncounted(wanted):
            misfits.append(f"{wanted}: the checkpoint has {found}")
    misfits += [f"{name}: only in the checkpoint" for name, _ in saved.values()]
    if misfits:
        raise ValueError(
            "Expected a checkpoint of the same model and optimizer. Received, with "
            f"{len(misfits)} differences:\n  " + "\n  ".join(misfits)
        )
    for variable, array in pairs:
        variable.assign(array)


def differences(saved: Any, now: Any, name: str = "") -> list[str]:
    """Lists where the record of a checkpoint differs from what is asked for, both JSON values.

    Returns:
        One text a field, such as `"recipe.epochs: 3 in the checkpoint, 5 now"`.
    """
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        lines = []
        for key in [*saved, *(key for key in now if key not in saved)]:
            place = f"{name}.{key}" if name else str(key)
            lines += differences(saved.get(key), now.get(key), place)
        return lines
    return [] if saved == now else [f"{name}: {saved!r} in the checkpoint, {now!r} now"]


def _write(
    path: Path, step: int, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any]
) -> None:
    header = {"format": _FORMAT, "step": step, "record": record}
    arrays = {**arrays, _CHECKSUM: np.zeros(4, "uint8")}  # of the narrowest: the last in the file
    write_safetensors(path, arrays, {KEY: json.dumps(header)})
    with path.open("r+b") as file:
        file.write(checksum(file))


def _place(name: str) -> str:
    """Returns `group/number` of a name."""
    return "/".join(name.split("/")[:2])


def _uncounted(name: str) -> str:
    return re.sub(r"_\d+", "", name)
