"""The quick start, whole, beside what it was before it was made quicker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_vit.benchmark.machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "e368fca"
"""The commit of before: 120 epochs of 32 images, 5,280 steps."""
BEFORE_STEPS = 5_280
_SHORT, _LONG = 2, 10  # epochs of what is measured of it


def measure_quick_start(seeds: Sequence[int] = (0,), *, before: bool = True) -> dict[str, Any]:
    """Runs the quick start, installation aside; of the one before as much as tells its time.

    Args:
        seeds: of the runs.
        before: whether the one before is measured too; it takes a clone with its history. Its
            training is two short runs, whose difference makes the time of all its steps.

    Returns:
        `seconds` and `accuracy` (0 to 1) of each seed, `steps` and `compiling` of the first run;
        `before_s`, and of it `before_step_s`, `before_rest_s`; None without.
    """
    result: dict[str, Any] = {"seconds": [], "accuracy": [], "machine": describe_machine()}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            place = Path(folder) / str(seed)
            arguments = ["quickstart", f"--output_dir={place}", f"--seed={seed}"]
            command = [sys.executable, "-m", "keras_vit_command", *arguments]
            result["seconds"].append(_timed(command, ROOT))
            result["accuracy"].append(json.loads((place / "evaluation.json").read_text())["top1"])
            summary = json.loads((place / "summary.json").read_text())
            result.setdefault("steps", summary["steps"])
            result.setdefault("compiling", summary["compiling"])
        if before:
            result |= _before(Path(folder))
    return result


def _timed(command: list[str], root: Path) -> float:
    """Runs a command on the package in a folder; returns its seconds."""
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {done.stderr[-500:]}")
    return time.perf_counter() - start


def _before(folder: Path) -> dict[str, float]:
    root = folder / "before"
    root.mkdir()
    archive = subprocess.run(
        ["git", "archive", BEFORE], cwd=ROOT, check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x"], cwd=root, check=True, input=archive)
    data = ["--dataset=digits", f"--data_dir={folder / 'data'}"]

    def run(name: str, *arguments: str) -> float:
        return _timed([sys.executable, f"scripts/{name}.py", *arguments], root)

    def train(epochs: int) -> float:
        output = f"--output_dir={folder / f'epochs{epochs}'}"
        return run("train", *data, output, "--set", f"epochs={epochs}")

    train(1)  # what is prepared once
    short, long = train(_SHORT), train(_LONG)
    model = folder / f"epochs{_LONG}" / "model.keras"
    others = run("evaluate", f"--model={model}", *data)
    others += run("visualize", f"--model={model}", *data, f"--output_dir={folder / 'pictures'}")
    others += run("export", f"--model={model}", f"--output_dir={folder / 'served'}")
    epochs = 120
    step = (long - short) / (_LONG - _SHORT) * epochs / BEFORE_STEPS
    rest = short - _SHORT * step * BEFORE_STEPS / epochs + others
    whole = rest + step * BEFORE_STEPS
    return {"before_s": whole, "before_step_s": step, "before_rest_s": rest}


def format_quick_start(result: dict[str, Any]) -> str:
    """Formats what `measure_quick_start` returned."""
    runs = zip(result["seconds"], result["accuracy"], strict=True)
    lines = [f"quick start: {seconds:.0f} s, {100 * top1:.2f} %" for seconds, top1 in runs]
    if result.get("before_s"):
        lines.append(
            f"before: {result['before_s']:.0f} s, of which {BEFORE_STEPS:,} steps of "
            f"{1000 * result['before_step_s']:.1f} ms (from short runs)"
        )
    return "\n".join(lines)
