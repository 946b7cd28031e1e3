"""What the figures were measured on, and how long an import takes there."""

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

from keras_vit.export.runtimes import cores


def measure_imports(repeats: int = 5) -> dict[str, float]:
    """Measures `import tensorflow` and `import keras_vit`, each in fresh processes, in turn.

    Args:
        repeats: processes of each.

    Returns:
        The median seconds of each, interpreter start included.
    """
    seconds: dict[str, list[float]] = {"tensorflow": [], "keras_vit": []}
    for repeat in range(repeats + 1):
        for module, measured in seconds.items():
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", f"import {module}"], check=True, capture_output=True
            )
            if repeat:  # the first of each only warms the disk cache
                measured.append(time.perf_counter() - start)
    return {module: statistics.median(measured) for module, measured in seconds.items()}


def describe_machine() -> dict[str, Any]:
    """Describes what the figures were measured on: processor, cores, versions."""
    from importlib import metadata

    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        processor = named[0] if named else processor
    except OSError:
        pass
    versions = {}
    for package in (
        "tensorflow",
        "keras",
        "jax",
        "keras-hub",
        "timm",
        "torch",
        "transformers",
        "ai-edge-litert",
        "onnxruntime",
        "openvino",
    ):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processor": processor,
        "cores": cores(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "python": platform.python_version(),
        "versions": versions,
    }
