"""Opens a checkpoint, whatever its form: `.npz`, `.safetensors`, shards, or a folder of these."""

from __future__ import annotations

import os
from typing import Any

from keras_vit.weights.files.arrays import ArrayFile, broken
from keras_vit.weights.files.npz import NpzFile
from keras_vit.weights.files.safetensors import SafetensorsFile, ShardedFile
from keras_vit.weights.files.suffixes import NPZ, PICKLES, SAFETENSORS

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"


def open_checkpoint(path: Any) -> ArrayFile:
    """Opens a checkpoint file or folder; reads headers, no values.

    Args:
        path: an `.npz` or `.safetensors` file, an index of shards
            (`model.safetensors.index.json`), or a folder with `model.safetensors`, with such an
            index, or with one file of either kind.

    Returns:
        The names, shapes and dtypes, and `read(name)`; `config`, `preprocessor` and
        `beside(name)` are the JSON files of the folder, read when they are asked for.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a file of another kind or a broken one; the message names it.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        path = _checkpoint_in(path)
    if path.endswith(NPZ):
        return NpzFile(path)
    if path.endswith(SAFETENSORS):
        return SafetensorsFile(path)
    if path.endswith(".safetensors.index.json"):
        return ShardedFile(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"Expected a checkpoint at {path!r}. Received: no such file.")
    if path.endswith(PICKLES):
        raise ValueError(
            f"Expected a .npz or .safetensors file. Received: {path!r}, a pickle, which could run "
            "code and is never read. Convert it with `safetensors.torch.save_file` where it is "
            "trusted."
        )
    raise ValueError(
        "Expected a .npz or .safetensors file, a folder of these, or a .keras or .weights.h5 file. "
        f"Received: {path!r}."
    )


def _checkpoint_in(folder: str) -> str:
    """Returns the one checkpoint in a folder."""
    files = sorted(os.listdir(folder))
    for name in (WHOLE, INDEX):
        if name in files:
            return os.path.join(folder, name)
    candidates = [name for name in files if name.endswith((SAFETENSORS, NPZ))]
    if len(candidates) == 1:
        return os.path.join(folder, candidates[0])
    what = f"several: {candidates}" if candidates else f"only {files[:10]}"
    raise broken(folder, what, f"a folder with {WHOLE}, {INDEX} or one .safetensors or .npz file")
