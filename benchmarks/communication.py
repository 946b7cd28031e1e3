"""What workers send each other in a step, and what a cluster gains at that, on paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.parameters import count_parameters
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.cost import forward_flops
from keras_vit.models.variants import get_variant

CLUSTER_MODELS = ("ViT_B16", "ViT_L16", "ViT_H14")
CLUSTER_WORKERS = (8, 64)
CLUSTER_GBIT_PER_SECOND = (10, 100)


def communication(
    config: VisionTransformerConfig, *, workers: int, bytes_per_value: int = 4
) -> dict[str, int | float]:
    """Says what one training step sends over the network when every worker holds all weights.

    Args:
        config: the architecture; the gradients of all trainable parameters are added up.
        workers: how many share the step, at least 1.
        bytes_per_value: of a gradient; 4 for float32, which mixed precision has too, since the
            gradients take the type of the variables.

    Returns:
        `parameters`; `gradient_bytes`, what is added up over the workers in a step; and
        `sent_bytes`, what each worker sends, and receives, in a ring: 2 (n - 1) / n of that.
        Metrics and headers, some kilobytes, are left out.

    Raises:
        ValueError: a number below 1.

    Reference: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
    workstations" (J. Parallel Distrib. Comput. 69, 2009), section 3.
    """
    if workers < 1 or bytes_per_value < 1:
        raise ValueError(
            "Expected `workers` and `bytes_per_value` of at least 1. "
            f"Received: {workers!r} and {bytes_per_value!r}."
        )
    parameters = count_parameters(config)
    size = parameters * bytes_per_value
    return {
        "parameters": parameters,
        "gradient_bytes": size,
        "sent_bytes": _ring_bytes(size, workers),
    }


def _ring_bytes(size: float, workers: int) -> float:
    return 2 * (workers - 1) / workers * size


def expected_speedup(
    step_s: float, gradient_bytes: float, workers: int, bytes_per_second: float
) -> float:
    """Calculates how many times the images a second of one worker a cluster processes.

    Each worker keeps its batch, so the batch of a step grows with their number, and sends its part
    of a ring all-reduce after the step, at the full speed of its link. Latency is left out.
    TensorFlow starts to send the first gradients while others are still calculated: as far as the
    two overlap, a cluster does better, and at best by `workers`.

    Args:
        step_s: seconds of a step of one worker alone, on its own batch.
        gradient_bytes: bytes that are added up over the workers; see `communication`.
        workers: how many, at least 1.
        bytes_per_second: that a worker sends while it receives as many; a link of 10 Gbit/s has
            1.25e9.

    Returns:
        The speed-up, from 0 to `workers`; less than 1 where the network is slower than the gain.

    Raises:
        ValueError: a time or speed that is not positive, or fewer than one worker.
    """
    if not (step_s > 0 and bytes_per_second > 0 and gradient_bytes >= 0 and workers >= 1):
        raise ValueError(
            "Expected a positive time and speed, no negative bytes, and at least one worker. "
            f"Received: step_s={step_s!r}, gradient_bytes={gradient_bytes!r}, "
            f"workers={workers!r}, bytes_per_second={bytes_per_second!r}."
        )
    return workers * step_s / (step_s + _ring_bytes(gradient_bytes, workers) / bytes_per_second)


def expected_scaling(
    *,
    images: int = 64,
    tflop_per_second: float = 150.0,
    step_s: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Calculates the speed-up of clusters for the variants B/16, L/16 and H/14 at their own size.

    Args:
        images: that each worker takes a step.
        tflop_per_second: that each worker really reaches in training; the default is about half of
            the bfloat16 peak of an NVIDIA A100 (312). A step counts three forward passes.
        step_s: seconds of a step of one worker by variant, where they are known; stands in for the
            two above.

    Returns:
        A row for each variant, number of workers and speed of the network: `model`, `step_s`,
        `gradient_bytes`, `workers`, `sent_bytes` (by each), `gbit_per_second` and `speedup`.
    """
    rows = []
    for model in CLUSTER_MODELS:
        config = get_variant(model)
        seconds = (step_s or {}).get(model)
        if seconds is None:
            seconds = 3 * forward_flops(config) * images / (tflop_per_second * 1e12)
        for workers in CLUSTER_WORKERS:
            sizes = communication(config, workers=workers)
            for speed in CLUSTER_GBIT_PER_SECOND:
                size = sizes["gradient_bytes"]
                speedup = expected_speedup(seconds, size, workers, speed * 1e9 / 8)
                rows.append(
                    {
                        "model": model,
                        "step_s": seconds,
                        "gradient_bytes": size,
                        "workers": workers,
                        "sent_bytes": sizes["sent_bytes"],
                        "gbit_per_second": speed,
                        "speedup": speedup,
                    }
                )
    return rows
