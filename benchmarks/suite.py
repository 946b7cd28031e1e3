"""One run over everything that is promised about speed: races, memory, `fit`, start-up.

What is measured is here; what is promised of it, in `targets.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.subjects import EXPORTED, load_subject_model
from keras_vit.benchmark.machine import describe_machine, measure_imports
from keras_vit.benchmark.peers import available_peers
from keras_vit.benchmark.runner import commands_of, measure_works
from keras_vit.benchmark.work import Work

OURS = "keras_vit"
REMATERIALIZED = "keras_vit rematerialized"
OPENVINO = "keras_vit openvino"
INT8 = "keras_vit litert int8"

BATCH_SIZE = 8

RACES = {
    "inference float32": ("infer", "float32", BATCH_SIZE),
    "inference float32 of one image": ("infer", "float32", 1),
    "inference bfloat16": ("infer", "bfloat16", BATCH_SIZE),
    "training float32": ("train", "float32", BATCH_SIZE),
    "training bfloat16": ("train", "bfloat16", BATCH_SIZE),
}
"""What is timed by the name of the race: command, type and images a batch."""

SECTIONS = (
    *RACES, "fit", "start-up", "small model", "quick start", "type", "folder", "rollout memory",
    "exports", "growth",
)  # fmt: skip
"""What the suite has, in its order."""


def measure_suite(
    model: str = "ViT_B16",
    *,
    sections: tuple[str, ...] = SECTIONS,
    repeats: int = 5,
    peers: list[str] | None = None,
    progress: Callable[[str], None] = lambda section: None,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measures one model in every way, beside all peers that are installed.

    Args:
        model: name of a variant that the Google layout can express.
        sections: of `SECTIONS`, in this order.
        repeats: rounds of each race, after one that warms up.
        peers: subjects beside ours; None for those that are installed.
        progress: called with the name of each section before it begins.
        earlier: what an earlier run returned, of which the other sections are kept.

    Returns:
        A dictionary that JSON can hold: the machine, `races` as `measure` returns them by their
        names, the other sections by theirs, each as its own module returns it, and `measured`, the
        day of each.
    """
    result: dict[str, Any] = {"races": {}, "measured": {}, **(earlier or {})}
    result |= {"model": model, "machine": describe_machine()}
    with _exports(model, sections) as exports:
        for name in sections:
            progress(name)
            if name in RACES:
                result["races"][name] = _race(name, model, peers, exports, repeats)
            else:
                result[name] = _section(name, model, repeats)
            result["measured"][name] = time.strftime("%Y-%m-%d")
    return result


def _section(name: str, model: str, repeats: int) -> Any:
    """Measures one section that is no race; each module is imported where it is needed."""
    if name == "fit":
        from benchmarks.fit_overhead import measure_fit

        return measure_fit(model, batch_size=BATCH_SIZE)
    if name == "start-up":
        from benchmarks.checkpoint_loading import measure_loading
        from benchmarks.start_up import measure_commands

        imports, loading = measure_imports(repeats), measure_loading(model, repeats=repeats)
        return {"import_s": imports, "loading": loading, "commands": measure_commands(repeats)}
    if name == "small model":
        from benchmarks.small_models import measure_small

        return measure_small()
    if name == "quick start":
        from benchmarks.quick_start import measure_quick_start

        return measure_quick_start((0, 1, 2))
    if name == "type":
        from keras_vit.models.variants import get_variant
        from keras_vit.training import choose_dtype

        return dataclasses.asdict(choose_dtype(get_variant(model)))
    if name == "folder":
        from benchmarks.folder_speed import measure_folder

        return measure_folder(model, batch_size=BATCH_SIZE)
    if name == "rollout memory":
        from benchmarks.rollout_memory import measure_memory

        return measure_memory()
    if name == "exports":
        from benchmarks.start_up import measure_exports

        return measure_exports()
    from benchmarks.many import measure_many

    return measure_many()


@contextlib.contextmanager
def _exports(
    model: str, sections: Sequence[str]
) -> Iterator[Mapping[tuple[str, int], pathlib.Path]]:
    """Writes the forms that race and whose tools are installed, for as long as needed."""
    from keras_vit import export

    races = [RACES[name] for name in sections if name in RACES]
    sizes = sorted({size for command, _, size in races if command == "infer"})
    with tempfile.TemporaryDirectory() as folder:
        written = {}
        built = load_subject_model(model) if sizes else None
        if importlib.util.find_spec("openvino"):
            for size in sizes:
                path = written[OPENVINO, size] = pathlib.Path(folder) / f"model{size}.xml"
                export.openvino(built, path, batch_size=size)
        if BATCH_SIZE in sizes and importlib.util.find_spec("ai_edge_litert"):
            path = written[INT8, BATCH_SIZE] = pathlib.Path(folder) / "int8.tflite"
            export.litert(built, path, "int8", batch_size=BATCH_SIZE)
        del built
        yield written


def _race(
    name: str,
    model: str,
    peers: list[str] | None,
    exports: Mapping[tuple[str, int], pathlib.Path],
    repeats: int,
) -> dict[str, Any]:
    command, dtype, batch_size = RACES[name]
    works = {OURS: Work("keras_vit", model, dtype, batch_size)}
    if command == "train":
        options = {"rematerialize": True}
        works[REMATERIALIZED] = Work("keras_vit", model, dtype, batch_size, options)
    else:
        for (form, size), path in exports.items():
            if size == batch_size and (form == OPENVINO or dtype == "float32"):
                works[form] = Work(EXPORTED, str(path), dtype, batch_size)
    for peer in available_peers(model, dtype) if peers is None else peers:
        if command in commands_of(peer):
            works[peer] = Work(peer, model, dtype, batch_size)
    return measure_works(works, {name: (command,) for name in works}, repeats=repeats)
