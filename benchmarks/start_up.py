"""What one waits for before anything runs: help, a wrong flag, a model, an export."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from keras_vit.benchmark.machine import describe_machine
from keras_vit.tables import align

COMMANDS = {
    "keras-vit --help": ["--help"],
    "keras-vit train --help": ["train", "--help"],
    "a wrong flag": ["train", "--output_dirs=x"],
}
FORMS = {
    "saved_model": ("tensorflow", "model"),
    "litert": ("ai_edge_litert", "model.tflite"),
    "onnx": ("tf2onnx", "model.onnx"),
    "openvino": ("openvino", "model.xml"),
}


def measure_commands(repeats: int = 5) -> dict[str, float]:
    """Returns the median seconds of commands that only talk, each in fresh processes, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for repeat in range(repeats + 1):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            command = [sys.executable, "-m", "keras_vit_command", *arguments]
            subprocess.run(command, capture_output=True)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure_exports() -> dict[str, Any]:
    """Writes and checks each form of the digits model that is installed, as the command does.

    Returns:
        Seconds by form, the first use of its libraries included.
    """
    from keras_vit import export
    from keras_vit.export.exportable import Exportable
    from keras_vit.models.vision_transformer import VisionTransformer
    from keras_vit.training import SMALL_MODELS

    model, seconds = Exportable(VisionTransformer(SMALL_MODELS["digits"])), {}
    labels = [str(digit) for digit in range(10)]
    with tempfile.TemporaryDirectory() as folder:
        for form, (package, name) in FORMS.items():
            if importlib.util.find_spec(package):
                start = time.perf_counter()
                getattr(export, form)(model, Path(folder) / name, labels=labels)
                seconds[form] = time.perf_counter() - start
    return {"seconds": seconds, "machine": describe_machine()}


def format_seconds(seconds: dict[str, float]) -> str:
    """Formats seconds by name."""
    return "\n".join(align([(name, f"{value:.2f} s") for name, value in seconds.items()]))
