"""Keras's own files, `.keras` and `.weights.h5`, as checkpoints of canonical names.

Keras changes variables before it notices that a file does not fit. So a file is read into a model
of its own first, and its variables are then taken like the arrays of any other checkpoint.
"""

import json
import math
import os
import zipfile
import zlib
from typing import Any

import keras
import numpy as np

from keras_vit.layers.dense import values_follow
from keras_vit.models.adapters import adapted_layers
from keras_vit.models.config import VisionTransformerConfig, config_of
from keras_vit.weights.files.arrays import ArrayFile, ArraySpec, broken, check_readable, unfit
from keras_vit.weights.files.suffixes import is_keras_model
from keras_vit.weights.layouts import BoundCheckpoint, Layout
from keras_vit.weights.rows import Binding, Row


class KerasLayout(Layout):
    """Keras's own names, which are the canonical ones; the file says its whole architecture."""

    name = "keras"


KERAS = KerasLayout()
_KIND = "a .keras file"
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"  # the members of a .keras file
_MAX_CONFIG_BYTES = 16 * 2**20
_MOST_VALUES_A_BYTE = 2  # of int4
_MOST_POSITIONS = 2**28  # values of the position embedding, which no file need hold: 1 GiB
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError)


def canonical_variables(model: keras.Model, *, adapters: bool = False) -> dict[str, Any]:
    """Returns the weights of a model by their canonical name, the path below the model.

    Args:
        model: a `VisionTransformer`.
        adapters: whether those of its adapters are among them.

    Raises:
        ValueError: a quantised model, whose kernels are no such weights.
    """
    variables = {}
    for layer in model.layers:
        variables |= layer_variables(layer)
    if adapters:
        return variables
    return {name: one for name, one in variables.items() if "/lora_kernel_" not in name}


def layer_variables(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns the weights of a layer of a model by their canonical name.

    Raises:
        ValueError: a quantised layer, whose kernel is no such weight.
    """
    variables = {}
    for variable in layer.weights:
        path = f"/{variable.path}"
        variables[path[path.index(f"/{layer.name}/") + 1 :]] = variable
    if any(name.endswith("kernel_scale") for name in variables):
        raise ValueError(
            f"Expected floating point weights. Received: {layer.name!r}, which is quantised. Take "
            "the model that it was made of."
        )
    return variables


def canonical_arrays(model: keras.Model) -> dict[str, Any]:
    """Returns the weights of a model by their canonical name, adapters added to their kernels."""
    arrays = canonical_variables(model)
    for name, layer in adapted_layers(model).items():
        arrays[f"{name}/kernel"] = layer.merged_kernel
    return arrays


class _ModelArrays(ArrayFile):
    """The variables of a model as arrays by name."""

    def __init__(self, path: Any, model: keras.Model):
        self._arrays = canonical_arrays(model)
        specs = {
            name: ArraySpec(tuple(array.shape), "float32") for name, array in self._arrays.items()
        }
        super().__init__(path, specs)

    def _read_raw(self, name: str) -> np.ndarray:
        return np.array(keras.ops.convert_to_numpy(self._arrays[name]), "float32")


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
        copy = load_archive(path)
        try:
            config_of(copy)
        except ValueError as error:
            raise ValueError(f"{error} It lies in {path!r}.") from error
    elif model is None:
        raise ValueError(
            "Expected a file that tells its architecture: .keras, .npz or .safetensors. Received: "
            f"{path!r}. Build the model first and call `load_weights(model, path)`."
        )
    else:
        copy = type(model).from_config(model.get_config())
        try:
            copy.load_weights(path)
        except Exception as error:  # Keras raises many kinds for what does not fit
            raise _refusal(path, error, "the weights of this model") from error
    return bind_model(path, copy)


def bind_model(path: str, model: keras.Model) -> BoundCheckpoint:
    """Returns the weights of a model as the checkpoint that they were read from."""
    file = _ModelArrays(path, model)
    row = Row(("",), ("",))
    bindings = tuple(Binding((name,), (name,), row) for name in file.specs)
    shapes = {name: spec.shape for name, spec in file.specs.items()}
    return BoundCheckpoint(
        file, KERAS, "", bindings, shapes, config=model.config, preprocessing=model.preprocessing,
        stored_grid=model.config.grid_size,
        prefix_rows=model.config.position_embedding_prefix_rows,
        notes=["adapters: added to their kernels"] if adapted_layers(model) else [],
    )  # fmt: skip


def load_archive(path: Any) -> keras.Model:
    """Loads the model of a `.keras` file in Keras's safe mode, compiled or not as it was built.

    Args:
        path: the file. One of ours whose config asks for more weights than the file can hold is
            refused before anything is built.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file, or one that says what it does not hold.
    """
    path = os.fspath(path)
    check_readable(path, _KIND)
    try:
        _check_sizes(path)
        with values_follow():
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        raise _refusal(path, error, _KIND) from error


def _refusal(path: str, error: Exception, expected: str) -> ValueError:
    """Returns the error for a file that Keras, or a look at its sizes, refused."""
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    what = f"{kind}{error}".rstrip(".")
    return (broken if isinstance(error, _DAMAGES) else unfit)(path, what, expected)


def _check_sizes(path: str) -> None:
    """Compares what a file says of its model with the bytes that are there."""
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if sizes.get(_CONFIG, 0) > _MAX_CONFIG_BYTES:
            raise ValueError(f"a {_CONFIG} of {sizes[_CONFIG]} bytes")
        model = json.loads(archive.read(_CONFIG))
    if model["class_name"] != "VisionTransformer":
        return
    config, size = VisionTransformerConfig.from_dict(model["config"]["config"]), sizes[_WEIGHTS]
    if math.prod(config.grid_size) * config.hidden_size > _MOST_POSITIONS:
        raise ValueError(f"a config of {config.grid_size} positions of {config.hidden_size} values")
    fewest = _fewest_values(config)
    if fewest > _MOST_VALUES_A_BYTE * size:
        raise ValueError(f"a config of at least {fewest} weights with {_WEIGHTS} of {size} bytes")


def _fewest_values(config: VisionTransformerConfig) -> int:
    """Returns what a model has at least: its large matrices."""
    width = config.hidden_size
    channels = config.in_channels
    values = config.num_layers * (4 * width * width + 2 * width * config.mlp_dim)
    if config.hybrid is not None:
        channels = config.hybrid.num_channels
        values += sum(config.hybrid.units_per_stage) * 9 * config.hybrid.stem_width**2
    if config.position_embedding == "learned":
        values += (config.position_embedding_prefix_rows + math.prod(config.grid_size)) * width
    values += (config.patch_size**2 * channels + config.num_register_tokens) * width
    for size in (config.pre_logits_size, config.projection_size, config.num_classes):
        if size:
            values += width * size
            width = size
    return values
