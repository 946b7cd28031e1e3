"""Opens a checkpoint, whatever its form: `.npz`, `.safetensors`, shards, or a folder of these."""

import os
from collections.abc import Sequence
from typing import Any

from keras_vit.weights.files.arrays import ArrayFile, unfit
from keras_vit.weights.files.npz import NpzFile
from keras_vit.weights.files.preset import PresetFile, is_preset
from keras_vit.weights.files.safetensors import SafetensorsFile, ShardedFile
from keras_vit.weights.files.suffixes import (
    INDEX,
    INDEX_SUFFIX,
    KERAS,
    KERAS_WEIGHTS,
    NPZ,
    PICKLES,
    SAFETENSORS,
    WHOLE,
)

_KIND = f"a {NPZ} or {SAFETENSORS} file, or a folder with {WHOLE}, {INDEX} or one such file,"


def open_checkpoint(path: Any) -> ArrayFile:
    """Opens a checkpoint file or folder; reads headers, no values.

    Args:
        path: an `.npz` or `.safetensors` file, an index of shards
            (`model.safetensors.index.json`), or a folder with `model.safetensors`, with such an
            index, or with one file of either kind; or the folder of a keras-hub preset.

    Returns:
        The names, shapes and dtypes, and `read(name)`; `config`, `preprocessor` and
        `beside(name)` are the JSON files of the folder, read when they are asked for.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a file of another kind or a broken one; the message names it, and what makes a
            checkpoint of it where there is such a thing.
    """
    path = os.fspath(path)
    if is_preset(path):
        return PresetFile(path)
    if os.path.isdir(path):
        path = _checkpoint_in(path)
    if path.endswith(NPZ):
        return NpzFile(path)
    if path.endswith(SAFETENSORS):
        return SafetensorsFile(path)
    if path.endswith(INDEX_SUFFIX):
        return ShardedFile(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"Expected a checkpoint at {path!r}. Received: no such file.")
    if path.endswith(PICKLES):
        error = unfit(path, "a pickle, which could run code and is never read", _KIND)
        raise ValueError(f"{error} {_conversion([path], os.path.splitext(path)[0] + SAFETENSORS)}")
    raise unfit(path, "a file of another kind", f"{_KIND}, or a .keras or .weights.h5 file,")


def _checkpoint_in(folder: str) -> str:
    """Returns the one checkpoint in a folder."""
    files = sorted(os.listdir(folder))
    for name in (WHOLE, INDEX):
        if name in files:
            return os.path.join(folder, name)
    candidates = [name for name in files if name.endswith((SAFETENSORS, NPZ))]
    if len(candidates) == 1:
        return os.path.join(folder, candidates[0])
    if candidates:
        what, way_on = f"several: {candidates[:10]}", "Name one of them."
    else:
        what, way_on = f"only {files[:10]}", _way_on(folder, files)
    raise ValueError(f"{unfit(folder, what, _KIND)} {way_on}".strip())


def _way_on(folder: str, files: Sequence[str]) -> str:
    """Says how what is in a folder can be loaded all the same, or nothing."""
    paths = [os.path.join(folder, name) for name in files]
    pickles = [path for path in paths if path.endswith(PICKLES)]
    if pickles:  # training_args.bin and the like may lie beside the weights
        weights = [path for path in pickles if "pytorch_model" in os.path.basename(path)]
        return _conversion(weights or pickles, os.path.join(folder, WHOLE))
    keras_files = [path for path in paths if path.endswith((KERAS, KERAS_WEIGHTS))]
    return f"Name the file: {keras_files[0]!r}." if keras_files else ""


def _conversion(pickles: Sequence[str], target: str) -> str:
    """Says how pickles of torch become a file that is safe to read, without running their code."""
    command = (
        "import torch, safetensors.torch as s; s.save_file({k: v.contiguous().clone() for f in "
        f"{list(pickles)} for k, v in torch.load(f, map_location='cpu', weights_only=True).items()"
        f"}}, {target!r})"
    )
    return f'With torch this converts it, and runs none of its code: python -c "{command}"'
