"""Saves and loads the adapters of a model, with its head, in the format of PEFT.

PEFT names modules of torch, and so an adapter is written for the model of one library: timm has one
matrix for query, key and value as this package does, transformers three. Which modules make which
kernel stands in the tables of the layouts.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_vit.models.adapters import Adapter, adaptable_layers
from keras_vit.models.config import config_of
from keras_vit.weights.download import local_folder
from keras_vit.weights.files.arrays import unfit
from keras_vit.weights.files.keras_archive import layer_variables
from keras_vit.weights.files.peft_folder import (
    PEFT_FILES,
    Module,
    PeftAdapter,
    read_peft,
    write_peft,
)
from keras_vit.weights.files.suffixes import SAFETENSORS
from keras_vit.weights.layouts import LAYOUTS, Layout, layout_for
from keras_vit.weights.load import LoadReport
from keras_vit.weights.rows import Binding, fill, match

_ALIASES = {"transformers": "huggingface"}
_TORCH = ("timm", "huggingface")


def save_adapter(model: keras.Model, path: Any, layout: str | None = None) -> str:
    """Writes the adapters of a model and its head, a few MB, as PEFT does.

    Args:
        model: a `VisionTransformer` with adapters, from `enable_lora`.
        path: a folder for `adapter_model.safetensors` and `adapter_config.json`; made if needed.
        layout: whose modules the names are of: `"timm"`, or `"huggingface"` for transformers 5.
            None is that of the checkpoint which the model was made of, else the first of the two
            that can express the model.

    Returns:
        The path of the folder.

    Raises:
        ValueError: a model without adapters, or a layout that cannot express it; the error names
            the fields.
    """
    config = config_of(model)
    adapters = model.adapters
    if not adapters:
        raise ValueError(
            "Expected a model with adapters, from `enable_lora`. Received: one without. "
            "`save_checkpoint` writes whole models."
        )
    writer = _writer(model, layout)
    modules = {}
    for name, adapter in adapters.items():
        names = writer.modules(name, config)
        for source, module in zip(names, unpack(adapter, len(names)), strict=True):
            if module is not None:
                modules[source] = module
    head = {
        name: keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        for name, variable in _head_variables(model).items()
    }
    saved = Layout.write_arrays(writer, head, config)
    whole = list(dict.fromkeys(name.rpartition(".")[0] for name in saved))
    write_peft(path, PeftAdapter(modules, saved), whole)
    return os.fspath(path)


def load_adapter(model: keras.Model, path: Any) -> LoadReport:
    """Puts the adapters of a file, and its head, in the place of those that a model has.

    All else of the model stays as it is, and is frozen. Call it before `compile`; once more, with
    another file, it switches.

    Args:
        model: a `VisionTransformer` of the weights that the adapter was trained on.
        path: a folder that `save_adapter` or PEFT wrote, on a model of timm or transformers; or its
            address, such as `"hf://owner/repo"`.

    Returns:
        What was loaded and left out. The head of the file is left out for a model without one; a
        model keeps its own where the file has none.

    Raises:
        FileNotFoundError: no such files.
        ConnectionError: an address that cannot be reached.
        ValueError: a broken file, what PEFT knows and this package does not (DoRA, trained biases),
            modules or shapes that the model does not have; the model is as it was.
    """
    config = config_of(model)
    path = local_folder(path, PEFT_FILES)
    found = read_peft(path)
    layers = {name: tuple(layer.kernel.shape) for name, layer in adaptable_layers(model).items()}
    layout = _reader(path, found.modules, config)
    adapters = _bind(path, layout, found.modules, layers)
    head, left_out = _bind_head(path, layout, found.saved, _head_variables(model))
    model.set_adapters(adapters)
    for variable, array in head.values():
        variable.assign(array)
    return LoadReport(path, layout.name, (*adapters, *head), left_out=left_out)


def unpack(adapter: Adapter, count: int) -> list[Module | None]:
    """Cuts the adapter of a packed kernel into those of its parts, which share what they read.

    Args:
        adapter: of the whole.
        count: parts side by side, of one width.

    Returns:
        One a part; None for a part that it adds nothing to. Rows of `b` that are zero in a part are
        left out there, so that adapters which `pack` put together come apart again.
    """
    scale, parts = adapter.alpha / adapter.rank, np.split(adapter.b, count, axis=1)
    if count == 1 or not adapter.b.any():
        return [Module(adapter.a.T, part.T, scale) for part in parts]
    used = [part.any(axis=1) for part in parts]
    return [
        Module(adapter.a[:, rows].T, part[rows].T, scale) if rows.any() else None
        for part, rows in zip(parts, used, strict=True)
    ]


def pack(modules: Mapping[int, Module], count: int) -> Adapter:
    """Makes one adapter of those of the parts of a packed kernel; it adds the same to the kernel.

    Its rank is the sum of theirs: each part reads its own rows, and has zeros in the others.

    Args:
        modules: by the number of the part; some may be missing.
        count: parts side by side, of one width.
    """
    scales = {module.scale for module in modules.values()}
    scale = scales.pop() if len(scales) == 1 else 1.0
    rank = sum(len(module.a) for module in modules.values())
    width = len(next(iter(modules.values())).b)
    b, row = np.zeros((rank, count * width), "float32"), 0
    for index, module in sorted(modules.items()):
        rows = slice(row, row := row + len(module.a))
        b[rows, index * width : (index + 1) * width] = module.b.T * (module.scale / scale)
    a = np.concatenate([module.a.T for _, module in sorted(modules.items())], axis=1)
    return Adapter(a, b, scale * rank)


def _head_variables(model: Any) -> dict[str, Any]:
    return {} if model.parts.head is None else layer_variables(model.parts.head)


@dataclasses.dataclass(frozen=True)
class _Part:
    """What the weight of a module of torch is a part of: of a layer, the `index`th of `count`."""

    layer: str
    index: int
    count: int


def _writer(model: Any, name: str | None) -> Layout:
    """Returns the layout that adapters of a model are written in."""
    config = model.config
    if name is not None:
        writer = layout_for(_ALIASES.get(name, name), config)
        found = writer.obstacles(config)
        if writer.suffix != SAFETENSORS or found:
            raise ValueError(
                f"Expected a model that PEFT can name as {' or '.join(_TORCH)} does. Received: "
                f"layout={name!r}" + (f", with {'; '.join(found)}." if found else ".")
            )
        return writer
    names = [each for each in (model.source_layout, *_TORCH) if each in _TORCH]
    writers = [layout_for(each, config) for each in names]
    return next((each for each in writers if not each.obstacles(config)), writers[0])


def _reader(path: Any, modules: Mapping[str, Module], config: Any) -> Layout:
    """Returns the layout that knows all modules of an adapter."""
    suited = [layout_for(name, config) for name in _TORCH]
    others = [each for each in LAYOUTS if each.suffix == SAFETENSORS and each.name in _TORCH]
    unknown: dict[Layout, list[str]] = {}
    for layout in dict.fromkeys([*suited, *others]):
        unknown[layout] = [name for name in modules if not _parts_of(layout, name)]
        if not unknown[layout]:
            return layout
    least = min(unknown.values(), key=len)
    raise unfit(
        path,
        f"{', '.join(least[:8])}{', ...' if len(least) > 8 else ''}",
        "adapters on query, key, value, output and MLP of the blocks of a ViT of timm or "
        "transformers",
    )


def _parts_of(layout: Layout, module: str) -> list[_Part]:
    """Returns what a module may be part of, by the table of a layout."""
    found = []
    for prefix in layout.module_prefixes:
        if not module.startswith(prefix):
            continue
        name = layout.table_name(f"{module.removeprefix(prefix)}.weight")
        for row in layout.rows:
            if row.form != "linear" or not row.targets[0].startswith("encoder_block_"):
                continue
            for index, source in enumerate(row.sources):
                numbers = match(source, name)
                if numbers is not None:
                    layer = fill(row.targets[0], numbers).removesuffix("/kernel")
                    found.append(_Part(layer, index, len(row.sources)))
    return found


def _bind(
    path: Any,
    layout: Layout,
    modules: Mapping[str, Module],
    layers: Mapping[str, tuple[int, ...]],
) -> dict[str, Adapter]:
    """Returns adapters by layer, or one error with all modules that do not fit."""
    groups: dict[str, tuple[int, dict[int, Module]]] = {}
    misfits = []
    for name, module in modules.items():
        shape = (module.a.shape[1], len(module.b))
        for part in _parts_of(layout, name):
            inputs, outputs = layers.get(part.layer, (0, 0))
            if shape == (inputs, outputs / part.count):
                count, group = groups.setdefault(part.layer, (part.count, {}))
                if count != part.count or group.setdefault(part.index, module) is not module:
                    misfits.append(f"{name}, which another one is too")
                break
        else:
            misfits.append(f"{name} of {shape[0]} inputs and {shape[1]} outputs")
    if misfits:
        lines = "\n  ".join(misfits)
        raise unfit(path, f"others, and nothing was changed:\n  {lines}", "adapters on this model")
    return {layer: pack(parts, count) for layer, (count, parts) in groups.items()}


def _bind_head(
    path: Any,
    layout: Layout,
    saved: Mapping[str, np.ndarray],
    variables: Mapping[str, Any],
) -> tuple[dict[str, tuple[Any, np.ndarray]], tuple[str, ...]]:
    """Returns variables and values of the head by name, and the names that are left out."""
    names = {}
    for name in saved:
        prefix = next((each for each in layout.module_prefixes if name.startswith(each)), "")
        names[layout.table_name(name.removeprefix(prefix))] = name
    arrays = {}
    for row in layout.rows:
        told = not (row.when and row.when not in names) and not (row.unless and row.unless in names)
        if told and row.sources[0] in names and row.targets[0].startswith("head/"):
            (array,) = Binding(row.sources, row.targets, row).convert(
                [saved[names.pop(row.sources[0])]]
            )
            arrays[row.targets[0]] = array
    own = {name: tuple(variable.shape) for name, variable in variables.items()}
    theirs = {name: array.shape for name, array in arrays.items()}
    if names:
        raise unfit(path, f"{', '.join(names.values())}", "no whole modules in it but the head")
    if own and theirs and own != theirs:
        raise unfit(path, f"{theirs} for {own}, and nothing was changed", "the head of this model")
    if not own:
        return {}, tuple(saved)
    return {name: (variables[name], array) for name, array in arrays.items()}, ()
