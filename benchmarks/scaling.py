"""Training on several replicas and workers of one machine.

They share its cores, so that no speed-up can be measured: what shows is the price of sharing a
step. What real clusters gain is calculated in `communication.py`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.communication import communication, expected_scaling
from benchmarks.parameters import config_of, count_parameters
from benchmarks.scaling_workers import Group, loopback_bytes
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import noting_failure
from keras_vit.benchmark.work import Work
from keras_vit.tables import align

SETTINGS = {
    "1 replica": ("none", 1),
    "2 replicas": ("mirrored", 2),
    "1 worker": ("multi_worker", 1),
    "2 workers": ("multi_worker", 2),
}
"""What is measured: the strategy and how many; all with the same batch in total."""

_STEPS = 3  # steps over which the bytes of a round are counted


def measure_scaling(
    *,
    model: str = "ViT_S16",
    batch_size: int = 8,
    repeats: int = 3,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, tuple[str, int]] | None = None,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Measures a training step (AdamW, float32) of one batch, shared in several ways.

    Args:
        model: name of a variant.
        batch_size: images a step, of all replicas together.
        repeats: rounds; each takes three steps of every setting in turn.
        options: keyword arguments of the model's factory, sequences as lists.
        settings: by name the strategy (`"none"`, `"mirrored"`, `"multi_worker"`) and the number of
            replicas or workers, which divides the batch; None takes `SETTINGS`.
        progress: called with a line before each setting is started; None for silence.

    Returns:
        A dictionary that JSON can hold: `model`, `batch_size`, `repeats`, `parameters`, `machine`,
        and `settings` by name, each with `strategy`, `count`, `step_s` (seconds of a step in each
        round), `loopback_bytes` (a step in each round: all that crossed the loopback device while
        it ran, of other programs too; None where the system does not tell), `predicted_bytes`
        (a step: what a ring sends of the gradients, all workers together) and `failure`, the reason
        why it could not be measured, or None.

    Raises:
        ValueError: a batch that cannot be shared evenly.
    """
    settings = SETTINGS if settings is None else settings
    for name, (_, count) in settings.items():
        if count < 1 or batch_size % count:
            raise ValueError(
                f"Expected a batch that {count} can share evenly for {name!r}. "
                f"Received: batch_size={batch_size}."
            )
    work = Work("keras_vit", model, batch_size=batch_size, options=dict(options or {}))
    result: dict[str, Any] = {
        "model": model,
        "batch_size": batch_size,
        "repeats": repeats,
        "parameters": count_parameters(config_of(work)),
        "machine": describe_machine(),
        "settings": {},
    }
    groups: dict[str, Group] = {}
    try:
        for name, (strategy, count) in settings.items():
            workers = count if strategy == "multi_worker" else 1
            predicted = workers * communication(config_of(work), workers=workers)["sent_bytes"]
            result["settings"][name] = {
                "strategy": strategy,
                "count": count,
                "step_s": [],
                "loopback_bytes": [] if loopback_bytes() is not None else None,
                "predicted_bytes": predicted,
                "failure": None,
            }
            if progress:
                progress(name)
            groups[name] = Group(work, strategy, count)
            with noting_failure(result["settings"][name]):
                groups[name].read()
        for _ in range(repeats):
            for name, group in groups.items():
                _round(group, result["settings"][name])
    finally:
        for group in groups.values():
            group.close()
    return result


def _round(group: Group, figures: dict[str, Any]) -> None:
    """Takes some steps and adds what they took to the figures."""
    if figures["failure"]:
        return
    with noting_failure(figures):
        before = loopback_bytes()
        figures["step_s"].append(group.step(_STEPS))
        if before is not None:
            figures["loopback_bytes"].append((loopback_bytes() - before) / _STEPS)


def format_scaling(
    result: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """Formats what `measure_scaling` returned, and what clusters would gain.

    Args:
        result: its dictionary.
        clusters: rows of `expected_scaling`; None takes those of its defaults.

    Returns:
        Two tables. "of one" is the time of a step over that of the first setting, median by median;
        MB are millions of bytes, a step, of all workers together in the first table and of each in
        the second, whose last column is the speed-up over the number of workers.
    """
    machine = result["machine"]
    clusters = expected_scaling() if clusters is None else clusters
    lines = [
        f"{result['model']}, float32, batch {result['batch_size']} in total, "
        f"{result['parameters'] / 1e6:.1f} M parameters; {machine['processor']}, "
        f"{machine['cores']} cores that all replicas and workers share",
        *align([_MEASURED, *_measured_rows(result["settings"])]),
        *(f"{name}: {row['failure']}" for name, row in result["settings"].items()
          if row["failure"]),
        "",
        "Expected on clusters, each worker with its own batch, sending after calculating:",
        "(as far as the two overlap, it gets better)",
        *align([_EXPECTED, *map(_expected_row, clusters)]),
    ]  # fmt: skip
    return "\n".join(lines)


_MEASURED = ("setting", "s a step", "(min-max)", "of one", "MB over loopback", "MB predicted")
_EXPECTED = ("model", "s a step", "workers", "Gbit/s", "MB sent by each", "speed-up", "efficiency")


def _measured_rows(settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows = []
    first = next(iter(settings.values()))["step_s"]
    for name, row in settings.items():
        steps, crossed = row["step_s"], row["loopback_bytes"]
        rows.append(
            (
                name,
                f"{statistics.median(steps):.3f}" if steps else "-",
                f"{min(steps):.3f}-{max(steps):.3f}" if steps else "-",
                f"{statistics.median(steps) / statistics.median(first):.2f}"
                if steps and first
                else "-",
                f"{statistics.median(crossed) / 1e6:.1f}" if crossed else "-",
                f"{row['predicted_bytes'] / 1e6:.1f}",
            )
        )
    return rows


def _expected_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        f"{row['step_s']:.3f}",
        str(row["workers"]),
        str(row["gbit_per_second"]),
        f"{row['sent_bytes'] / 1e6:,.0f}",
        f"{row['speedup']:.1f}",
        f"{row['speedup'] / row['workers']:.0%}",
    )
