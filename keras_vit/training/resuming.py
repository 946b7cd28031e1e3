"""What a folder holds of an earlier run, and whether it is the run that is asked for."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_vit.files import read_json
from keras_vit.training.state import Checkpoint, Checkpoints, differences


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from training into a folder while the block runs.

    The lock is on the folder itself and goes with the process, however that ends. Where the system
    or the file system knows no such locks, nothing is locked.

    Raises:
        RuntimeError: another run is at work in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RuntimeError(
                    f"Expected a folder that no other run is writing to. Received: '{folder}', in "
                    "which one is at work. Wait until it ends, or use another folder."
                ) from error
        yield
    finally:
        os.close(place)


@dataclasses.dataclass(frozen=True)
class EarlierRun:
    """What `find_earlier_run` found.

    Attributes:
        checkpoint: where the run goes on from; None for a fresh start.
        summary: what `summary.json` says if the run is finished, else None.
    """

    checkpoint: Checkpoint | None = None
    summary: dict[str, Any] | None = None


def find_earlier_run(
    folder: Path, checkpoints: Checkpoints, wanted: dict[str, Any], *, resume: bool
) -> EarlierRun:
    """Looks for the run to go on with, of the task whose identity is wanted.

    What a killed process left half-written is removed; all checkpoints are, if not to `resume`.

    Raises:
        ValueError: another run is there, or a finished one without checkpoints.
        OSError: no checkpoint is whole.
    """
    if not resume:
        checkpoints.clear()
        return EarlierRun()
    checkpoints.tidy()
    checkpoint = checkpoints.latest()
    file = folder / "summary.json"
    summary = read_json(file) if file.exists() else None
    advice = "Use another folder, or resume=False (--noresume) to replace it."
    if checkpoint is None:
        if summary is not None:
            raise ValueError(
                f"Expected a folder without a finished run. Received: {folder} with summary.json "
                f"and no checkpoints to go on from. {advice}"
            )
        return EarlierRun()
    found = differences(checkpoint.record["identity"], wanted)
    if found:
        raise ValueError(
            f"Expected the run that {checkpoint.path} is of, to go on with it. Received one with "
            f"{len(found)} differences:\n  " + "\n  ".join(found) + f"\n{advice}"
        )
    is_finished = summary is not None and summary.get("run_id") == checkpoint.record["run_id"]
    return EarlierRun(checkpoint, summary if is_finished else None)
