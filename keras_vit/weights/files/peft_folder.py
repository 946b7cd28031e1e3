"""Adapters in the format of Hugging Face's PEFT: a folder of two files, read and written."""

import contextlib
import dataclasses
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.files import read_json, replacing, write_json
from keras_vit.weights.files.arrays import unfit
from keras_vit.weights.files.safetensors import SafetensorsFile, write_safetensors

PEFT_FILES = CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KIND = "a LoRA adapter of PEFT"
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
# What changes no number of an adapter that is loaded, and what is read by name below.
_READ = {
    "peft_type", "r", "lora_alpha", "use_rslora", "alpha_pattern", "rank_pattern", "bias",
    "init_lora_weights",
}  # fmt: skip
_HARMLESS = {
    "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode",
    "peft_version", "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform",
    "layers_pattern", "lora_dropout", "runtime_config", "megatron_core", "qalora_group_size",
    "ephemeral_gpu_offload", "eva_config", "corda_config", "lora_ga_config", "loftq_config",
    "ensure_weight_tying",
}  # fmt: skip
# Others start from kernels of their own, which the adapter does not hold.
_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")


@dataclasses.dataclass(frozen=True)
class Module:
    """The adapter of one module of torch: what is added to its weight `(outputs, inputs)`.

    Attributes:
        a: `lora_A.weight`, `(rank, inputs)`.
        b: `lora_B.weight`, `(outputs, rank)`.
        scale: the factor of `b @ a`.
    """

    a: np.ndarray
    b: np.ndarray
    scale: float


@dataclasses.dataclass(frozen=True)
class PeftAdapter:
    """What a folder of PEFT holds.

    Attributes:
        modules: adapters by the name of their module.
        saved: arrays of modules that were trained whole, such as `head.weight`, by name.
    """

    modules: Mapping[str, Module]
    saved: Mapping[str, np.ndarray]


def read_peft(path: Any) -> PeftAdapter:
    """Reads an adapter that PEFT, or `write_peft`, wrote.

    Args:
        path: the folder with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        FileNotFoundError: one of the two is missing.
        ValueError: a broken file, another kind of adapter, or what this package has no place for,
            by name.
    """
    folder = Path(path)
    config = read_json(folder / CONFIG)
    _check_features(folder, config)
    file = SafetensorsFile(folder / WEIGHTS)
    factors: dict[str, dict[str, np.ndarray]] = {}
    saved = {}
    for stored in file.specs:
        name = stored.removeprefix(_PREFIX)
        found = _FACTOR.fullmatch(name)
        if found:
            factors.setdefault(found[1], {})[found[2]] = file.read(stored)
        elif ".lora_" in name:
            raise unfit(file.path, f"{stored!r}", f"{_KIND} with lora_A and lora_B alone")
        else:
            saved[name] = file.read(stored)
    if not factors:
        raise unfit(file.path, "no lora_A", _KIND)
    for name, pair in factors.items():
        shapes = {letter: array.shape for letter, array in pair.items()}
        whole = shapes.keys() == {"A", "B"} and all(len(shape) == 2 for shape in shapes.values())
        if not whole or shapes["A"][0] != shapes["B"][1]:
            raise unfit(
                file.path, f"{name!r} with {shapes}", f"{_KIND} on matrices, lora_A with lora_B"
            )
    modules = {
        name: Module(pair["A"], pair["B"], _scale(config, name, len(pair["A"])))
        for name, pair in factors.items()
    }
    return PeftAdapter(modules, saved)


def _check_features(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuses, by name, what changes the numbers of an adapter in a way unknown here."""
    found = []
    if config.get("peft_type") != "LORA":
        found.append(f"peft_type={config.get('peft_type')!r}")
    if config.get("bias", "none") != "none":
        found.append(f"bias={config['bias']!r}")
    if config.get("init_lora_weights") not in _STARTS:
        found.append(f"init_lora_weights={config['init_lora_weights']!r}")
    others = {name: value for name, value in config.items() if name not in _READ | _HARMLESS}
    found += [f"{name}={value!r}" for name, value in others.items() if value]
    if found:
        raise unfit(folder, ", ".join(found), f"{_KIND} without more than lora_A and lora_B")


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """Returns what PEFT multiplies the two matrices of a module by."""
    alpha = config.get("lora_alpha", 8)
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            alpha = own
            break
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def write_peft(path: Any, adapter: PeftAdapter, trained_whole: Sequence[str]) -> None:
    """Writes an adapter as PEFT does; both files are replaced together.

    Args:
        path: the folder; made if needed.
        adapter: what is written.
        trained_whole: names of the modules that `adapter.saved` are of.
    """
    folder, modules = Path(path), adapter.modules
    arrays = {}
    for name, module in modules.items():
        arrays[f"{_PREFIX}{name}.lora_A.weight"] = module.a
        arrays[f"{_PREFIX}{name}.lora_B.weight"] = module.b
    arrays |= {_PREFIX + name: array for name, array in adapter.saved.items()}
    ranks = {name: len(module.a) for name, module in modules.items()}
    alphas = {name: _plain(module.scale * ranks[name]) for name, module in modules.items()}
    rank, alpha = (statistics.mode(each.values()) for each in (ranks, alphas))
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: own for name, own in ranks.items() if own != rank},
        "alpha_pattern": {name: own for name, own in alphas.items() if own != alpha},
        "target_modules": list(modules),
        "modules_to_save": list(trained_whole) or None,
        "bias": "none",
        "lora_dropout": 0.0,
        "use_rslora": False,
    }
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(replacing(folder / WEIGHTS))
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_safetensors(target, contiguous, {"format": "pt"})
        write_json(stack.enter_context(replacing(folder / CONFIG)), config)


def _plain(value: float) -> float | int:
    """Returns a number without the digits that rounding adds, as an integer where it is one."""
    value = float(f"{value:.12g}")
    return int(value) if value.is_integer() else value
