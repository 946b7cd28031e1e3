"""Keras's own files, `.keras` and `.weights.h5`, as checkpoints of canonical names.

Keras changes variables before it notices that a file does not fit. So a file is read into a model
of its own first, and its variables are then taken like the arrays of any other checkpoint.
"""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np

from keras_vit.models.config import config_of
from keras_vit.weights.files.arrays import ArrayFile, ArraySpec, broken, check_readable
from keras_vit.weights.files.suffixes import is_keras_model
from keras_vit.weights.layouts import BoundCheckpoint, Layout
from keras_vit.weights.rows import Binding, Row


class KerasLayout(Layout):
    """Keras's own names, which are the canonical ones; the file says its whole architecture."""

    name = "keras"


KERAS = KerasLayout()


def canonical_variables(model: keras.Model) -> dict[str, Any]:
    """Returns the weights of a model by their canonical name, the path below the model.

    Args:
        model: a `VisionTransformer`.
    """
    variables = {}
    for layer in model.layers:
        for variable in layer.weights:
            path = f"/{variable.path}"
            variables[path[path.index(f"/{layer.name}/") + 1 :]] = variable
    return variables


class _ModelArrays(ArrayFile):
    """The variables of a model as arrays by name."""

    def __init__(self, path: Any, model: keras.Model):
        self._variables = canonical_variables(model)
        specs = {
            name: ArraySpec(tuple(variable.shape), "float32")
            for name, variable in self._variables.items()
        }
        super().__init__(path, specs)

    def _read_raw(self, name: str) -> np.ndarray:
        return np.array(keras.ops.convert_to_numpy(self._variables[name]), "float32")


def open_keras(path: Any, model: keras.Model | None = None) -> BoundCheckpoint:
    """Opens a `.keras` or `.weights.h5` file.

    Args:
        path: the file. A `.keras` file is loaded in Keras's safe mode.
        model: a model of the same architecture, for a `.weights.h5` file, which does not say its
            own; it is not changed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file, one of another model, or a `.weights.h5` without `model`.
    """
    path = os.fspath(path)
    check_readable(path, "a Keras file")
    if is_keras_model(path):
        copy = _load_model(path)
    elif model is None:
        raise ValueError(
            "Expected a file that tells its architecture: .keras, .npz or .safetensors. Received: "
            f"{path!r}. Build the model first and call `load_weights(model, path)`."
        )
    else:
        copy = type(model).from_config(model.get_config())
        try:
            copy.load_weights(path)
        except Exception as error:
            raise broken(
                path, f"{type(error).__name__}: {error}", "the weights of this model"
            ) from error
    file = _ModelArrays(path, copy)
    row = Row(("",), ("",))
    bindings = tuple(Binding((name,), (name,), row) for name in file.specs)
    shapes = {name: spec.shape for name, spec in file.specs.items()}
    return BoundCheckpoint(
        file, KERAS, "", bindings, shapes, config=copy.config, preprocessing=copy.preprocessing,
        stored_grid=copy.config.grid_size, prefix_rows=copy.config.position_embedding_prefix_rows,
    )  # fmt: skip


def _load_model(path: str) -> keras.Model:
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise broken(path, f"{type(error).__name__}: {error}", "a .keras file") from error
    try:
        config_of(model)
    except ValueError as error:
        raise ValueError(f"{error} It lies in {path!r}.") from error
    return model
