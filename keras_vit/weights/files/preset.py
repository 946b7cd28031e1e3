"""The folder of a keras-hub preset: `.weights.h5` files, whole or in shards, and their JSON."""

import os
from typing import Any

import h5py
import numpy as np

from keras_vit.files import read_json
from keras_vit.weights.files.arrays import ArrayFile, ArraySpec, broken, check_readable, unfit
from keras_vit.weights.files.suffixes import KERAS_WEIGHTS

HEAD = "task/"  # in front of the names of `task.weights.h5`
_MODEL, _INDEX, _TASK = "model.weights.h5", "model.weights.json", "task.weights.h5"
_KIND = "the weights of a keras-hub preset"
_BACKBONES = ("ViTBackbone", "DINOV2Backbone")
_WAY_ON = (
    "Load the weights that it was made from: `keras_vit.list_weights()` has those of Google, "
    '`from_checkpoint("hf://owner/repo")` loads those of the Hugging Face hub.'
)


def is_preset(path: Any) -> bool:
    """Whether a path is the folder of a keras-hub preset with its weights, or these weights."""
    path = os.fspath(path)
    folder, name = (path, "") if os.path.isdir(path) else os.path.split(path)
    config = os.path.join(folder, "config.json")
    there = [each for each in (_MODEL, _INDEX) if os.path.isfile(os.path.join(folder, each))]
    if name not in ("", *there) or not there or not os.path.isfile(config):
        return False
    return str(read_json(config).get("module")).startswith("keras_hub")


class PresetFile(ArrayFile):
    """The arrays of a preset by their path in its files; those of the head begin with `task/`.

    Args:
        path: the folder, or the file with the weights of the backbone in it.

    Raises:
        ValueError: another model than ViT or DINOv2, a damaged file, or data outside of the files.
    """

    def __init__(self, path: Any):
        folder = os.fspath(path) if os.path.isdir(path) else os.path.dirname(os.fspath(path))
        backbone = read_json(os.path.join(folder, "config.json")).get("class_name")
        if backbone not in _BACKBONES:
            error = unfit(folder, f"a {backbone} of keras-hub", f"one of {_BACKBONES}")
            raise ValueError(f"{error} {_WAY_ON}")
        self._places: dict[str, tuple[str, str]] = {}
        specs: dict[str, ArraySpec] = {}
        for name in _model_files(folder):
            self._add(specs, os.path.join(folder, name), "")
        if os.path.isfile(os.path.join(folder, _TASK)):
            self._add(specs, os.path.join(folder, _TASK), HEAD)
        super().__init__(os.path.join(folder, _MODEL), specs)

    def _add(self, specs: dict[str, ArraySpec], path: str, prefix: str) -> None:
        check_readable(path, _KIND)

        def visit(name, item):
            if not isinstance(item, h5py.Dataset):
                return
            if item.external or item.is_virtual:
                raise unfit(path, f"{name!r}, whose values lie in another file", _KIND)
            dtype = str(item.attrs.get("dtype", item.dtype.name))
            specs[prefix + name] = ArraySpec(tuple(item.shape), dtype)
            self._places[prefix + name] = (path, name)

        try:
            with h5py.File(path, "r") as file:
                file.visititems(visit)
        except (OSError, RuntimeError, KeyError) as error:
            raise broken(path, str(error).rstrip("."), _KIND) from error

    def _read_raw(self, name: str) -> np.ndarray:
        path, inner = self._places[name]
        try:
            with h5py.File(path, "r") as file:
                array = file[inner][()]
        except (OSError, RuntimeError, KeyError) as error:
            raise broken(path, f"{inner!r} cannot be read, {error}", _KIND) from error
        return array.view("uint16") if self.specs[name].dtype == "bfloat16" else array


def _model_files(folder: str) -> list[str]:
    """Returns the names of the files with the weights of the backbone."""
    index = os.path.join(folder, _INDEX)
    if os.path.isfile(os.path.join(folder, _MODEL)) or not os.path.isfile(index):
        return [_MODEL]
    names: set[Any] = set()
    weight_map = read_json(index).get("weight_map")
    for value in weight_map.values() if isinstance(weight_map, dict) else ():
        names.update(value if isinstance(value, list) else [value])
    for name in names:
        plain = isinstance(name, str) and os.path.basename(name) == name
        if not plain or not name.endswith(KERAS_WEIGHTS):
            raise unfit(index, f"a shard named {name!r}", f"names of {KERAS_WEIGHTS} files")
    if not names:
        raise unfit(index, "no `weight_map`", f"an index of {KERAS_WEIGHTS} shards")
    return sorted(names)
