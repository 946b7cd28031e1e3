"""Writes a model as google-research, timm or Hugging Face would have: the way back of `load.py`."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.files import replacing, write_json
from keras_vit.models.config import config_of
from keras_vit.weights.files.keras_archive import canonical_arrays
from keras_vit.weights.files.safetensors import write_safetensors
from keras_vit.weights.files.suffixes import NPZ, SAFETENSORS
from keras_vit.weights.layouts import layout_for

_METADATA = {"format": "pt"}  # transformers reads no file without it


def save_checkpoint(model: keras.Model, path: Any, layout: str = "google") -> str:
    """Writes the weights of a model in the layout of another library.

    Args:
        model: a `VisionTransformer`; what adapters add is merged into the written kernels.
        path: `"google"`: an `.npz` file; `"timm"`: a `.safetensors` file, with the `config.json`
            beside it that timm builds it from; `"huggingface"`: a folder for `model.safetensors`,
            `config.json` and `preprocessor_config.json` (or a `.safetensors` file with these beside
            it). What is there is replaced only by a whole file.
        layout: `"google"` (vit_jax names; big_vision ones for MAP pooling, sincos2d positions or a
            class token without a position), `"timm"` or `"huggingface"` (the published names, as
            transformers 4 and 5 read them).

    Returns:
        The path of the file with the weights.

    Raises:
        ValueError: the layout cannot express the model (the error names the fields), or a path of
            another kind.
    """
    config = config_of(model)
    writer = layout_for(layout, config)
    found = writer.obstacles(config)
    if config.values is not None:
        found = [*found, f"values={config.values}, those of a regression"]
    if found:
        raise ValueError(
            f"Expected a model that the {layout} layout can express. Received: {'; '.join(found)}."
        )
    target = writer.target(path)
    values = {
        name: keras.ops.convert_to_numpy(keras.ops.cast(array, "float32"))
        for name, array in canonical_arrays(model).items()
    }
    arrays = writer.write_arrays(values, config)
    beside = writer.write_config(config, model.preprocessing)
    _check_folder(target, beside)
    with contextlib.ExitStack() as stack:  # all files are written, then all are moved
        _write(stack.enter_context(replacing(target)), arrays)
        for name, description in beside.items():
            write_json(stack.enter_context(replacing(target.with_name(name))), description)
    return os.fspath(target)


def _check_folder(target: Path, beside: Mapping[str, Any]) -> None:
    """Refuses to replace a config that another checkpoint in the folder may need."""
    taken = [name for name in beside if target.with_name(name).exists()]
    others = [
        path.name
        for suffix in (NPZ, SAFETENSORS)
        for path in target.parent.glob(f"*{suffix}")
        if path != target and not path.name.startswith(".")
    ]
    if taken and others:
        raise ValueError(
            f"Expected a folder for {target.name} and its {', '.join(beside)} alone. Received: "
            f"{os.fspath(target.parent)!r}, where {taken[0]} may belong to {others[0]}. Save to "
            "a folder of its own."
        )


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    if path.suffix == NPZ:
        np.savez(path, **arrays)
    else:
        write_safetensors(path, arrays, _METADATA)
