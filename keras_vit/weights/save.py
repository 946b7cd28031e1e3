"""Writes a model as google-research, timm or Hugging Face would have: the way back of `load.py`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.files import replacing, write_json
from keras_vit.models.config import config_of
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.files.safetensors import write_safetensors
from keras_vit.weights.files.suffixes import NPZ
from keras_vit.weights.layouts import layout_for

_METADATA = {"format": "pt"}  # transformers reads no file without it


def save_checkpoint(model: keras.Model, path: Any, layout: str = "google") -> str:
    """Writes the weights of a model in the layout of another library.

    Args:
        model: a `VisionTransformer`.
        path: `"google"`: an `.npz` file; `"timm"`: a `.safetensors` file; `"huggingface"`: a folder
            for `config.json` and `model.safetensors` (or a `.safetensors` file, with `config.json`
            beside it). What is there is replaced only by a whole file.
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
    if found:
        raise ValueError(
            f"Expected a model that the {layout} layout can express. Received: {'; '.join(found)}."
        )
    target = writer.target(path)
    values = {
        name: keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        for name, variable in canonical_variables(model).items()
    }
    arrays = writer.write_arrays(values, config)
    with contextlib.ExitStack() as stack:  # all files are written, then all are moved
        _write(stack.enter_context(replacing(target)), arrays)
        for name, description in writer.write_config(config, model.preprocessing).items():
            beside = stack.enter_context(replacing(target.with_name(name)))
            write_json(beside, description)
    return os.fspath(target)


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    if path.suffix == NPZ:
        np.savez(path, **arrays)
    else:
        write_safetensors(path, arrays, _METADATA)
