"""Checkpoints that a training run leaves, as checkpoints of canonical names.

How such a file is written is in `training/state.py`; here stands what a reader needs of it.
"""

import json
import os
import zlib
from typing import Any, BinaryIO

from keras_vit.models.adapters import DEFAULT_TARGETS
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.files.keras_archive import bind_model, canonical_variables
from keras_vit.weights.files.safetensors import SafetensorsFile
from keras_vit.weights.files.suffixes import SAFETENSORS
from keras_vit.weights.layouts import BoundCheckpoint

KEY = "keras_vit_checkpoint"
_CHUNK = 2**20


def is_run_checkpoint(path: Any) -> bool:
    """Says whether a file is a checkpoint of a run."""
    path = os.fspath(path)
    return path.endswith(SAFETENSORS) and os.path.isfile(path) and _header(path) is not None


def _header(path: str) -> dict[str, Any] | None:
    return json.loads(SafetensorsFile(path).metadata.get(KEY, "null"))


def open_run_checkpoint(path: Any) -> BoundCheckpoint:
    """Opens a checkpoint of a run of a `VisionTransformer`; its moving average, where it has one.

    Args:
        path: such as `checkpoints/best.safetensors` of a run.

    Raises:
        ValueError: a damaged file, or the run of another kind of model.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        whole = checksum(file) == file.read()
    identity = _header(path)["record"]["identity"] if whole else {}
    known, recipe = identity.get("model", {}), identity.get("recipe", {})
    if not known.get("config"):
        raise ValueError(
            "Expected the whole checkpoint of a run of a keras_vit.VisionTransformer. Received: "
            f"{path!r}, {'of another kind of model' if whole else 'whose checksum is wrong'}."
        )
    model = VisionTransformer(
        known["config"], classifier_activation=None, preprocessing=known["preprocessing"]
    )
    if recipe.get("lora_rank"):
        targets = recipe["lora_targets"] or DEFAULT_TARGETS
        model.enable_lora(recipe["lora_rank"], targets, recipe["lora_alpha"])
    file = SafetensorsFile(path)
    for name, variable in canonical_variables(model, adapters=True).items():
        averages = f"/{name.replace('/', '_')}_average"  # of what was trained
        found = [each for each in file.specs if each.endswith(averages)]
        found = found or [each for each in file.specs if each.endswith(f"/{name}")]
        if len(found) != 1 or file.specs[found[0]].shape != tuple(variable.shape):
            raise ValueError(f"Expected {name!r} in {path!r}, as its config has it. Received none.")
        variable.assign(file.read(found[0]))
    return bind_model(path, model)


def checksum(file: BinaryIO) -> bytes:
    """Returns that of all but the last four bytes, and leaves the file before these."""
    left = max(file.seek(0, os.SEEK_END) - 4, 0)
    file.seek(0)
    found = 0
    while chunk := file.read(min(left, _CHUNK)):
        found = zlib.crc32(chunk, found)
        left -= len(chunk)
    return found.to_bytes(4, "little")
