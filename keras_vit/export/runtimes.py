"""What the runtimes of all forms share.

A runner is a function of prepared images, float32 `(batch, height, width, channels)`, to a
dictionary of arrays `(batch, ...)`.
"""

import os
from collections.abc import Callable

import numpy as np

Runner = Callable[[np.ndarray], dict[str, np.ndarray]]


def cores() -> int:
    """Returns the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_batches(run: Runner, size: int | None) -> Runner:
    """Makes a runner of any number of images from one that takes `size`, or any with None.

    The last batch is filled up with zeros.
    """
    if size is None:
        return run

    def run_all(images: np.ndarray) -> dict[str, np.ndarray]:
        parts: list[dict[str, np.ndarray]] = []
        for start in range(0, max(len(images), 1), size):
            batch = images[start : start + size]
            missing = size - len(batch)
            if missing:
                batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
            parts.append(run(batch))
        return {
            name: np.concatenate([part[name] for part in parts])[: len(images)] for name in parts[0]
        }

    return run_all
