"""What a folder holds of an earlier run, and whether it is the run that is asked for."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import re
from pathlib import Path
from typing import Any

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.files import read_json
from keras_vit.training.recipes import Recipe
from keras_vit.training.state import Checkpoint, Checkpoints, differences


def identity(recipe: Recipe, model: keras.Model, data: ImageDataset) -> dict[str, Any]:
    """Returns what makes two runs the same one, as plain JSON values.

    Args:
        recipe: all of it counts.
        model: its config, where it has one, its name, dtype policy, preprocessing and size count.
        data: counts by its class names, the numbers of its images and the last part of its name
            (the folder of photos may have moved).
    """
    config = getattr(model, "config", None)
    values = {
        "recipe": recipe.to_dict(),
        "model": {
            "name": re.sub(r"_\d+$", "", model.name),  # the number counts models of the process
            "dtype": model.dtype_policy.name,
            "parameters": model.count_params(),
            "preprocessing": model.preprocessing.to_dict(),
            "config": config.to_dict() if hasattr(config, "to_dict") else None,
        },
        "data": {
            "name": os.path.basename(os.path.normpath(data.name)),
            "class_names": data.class_names,
            "images": {role: split.num_examples for role, split in data.splits.items()},
        },
    }
    return json.loads(json.dumps(values))


def versions() -> dict[str, str]:
    """Returns the versions of the libraries that the numbers of a run depend on."""
    names = ("tensorflow", "keras", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


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
    """Looks for the run to go on with.

    Args:
        folder: of the run; `summary.json` is there when it is finished.
        checkpoints: of the run; what a killed process left half-written is removed.
        wanted: the `identity` of the run that is asked for.
        resume: whether to go on; if not, the checkpoints are removed.

    Returns:
        What was found.

    Raises:
        ValueError: another run is there, or a finished one without checkpoints.
        OSError: no checkpoint is whole.
    """
    if not resume:
        checkpoints.clear()
        return EarlierRun()
    checkpoints.tidy()
    checkpoint = checkpoints.latest()
    summary = _read_summary(folder / "summary.json")
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


def _read_summary(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None
