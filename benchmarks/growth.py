"""How time and memory grow with the image, the batch, the depth, the width and the whole model.

Every point is measured in a process of its own, one after the other, so that its peak memory is its
own and the largest model has the machine to itself. `growth_plot.py` draws what comes out.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.parameters import config_of, count_parameters
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import Worker, noting_failure
from keras_vit.benchmark.work import Work
from keras_vit.models.cost import forward_flops
from keras_vit.tables import align

MEASURES = {
    "infer_s": "inference",
    "train_s": "training step",
    "infer_mib": "memory of inference",
    "train_mib": "memory of training",
}
"""What is measured of each point, by its key, and its name in a sentence."""

_REPEATED_FOR = 1.0  # seconds: what takes less is timed more often
_MOST_REPEATS = 10  # times as often as asked
_LEAST_POINTS = 4  # for an exponent of the upper half
_HEAD_WIDTH = 64  # width of an attention head in all models of the paper


def _work(model: str = "ViT_S16", batch_size: int = 4, **options: Any) -> Work:
    return Work("keras_vit", model, batch_size=batch_size, options=options)


def _wide(width: int) -> Work:
    heads = width // _HEAD_WIDTH
    return _work(hidden_size=width, num_heads=heads, mlp_dim=4 * width)


def _default_axes() -> dict[str, tuple[Work, ...]]:
    """Around S/16 at 224 px and batch 4, which stands on four of the axes.

    The family takes one image, and no dropout where a variant has it, to differ in size alone.
    """
    base = _work()
    sizes = {size: _work(input_shape=[size, size, 3]) for size in (96, 144, 320, 448, 560)}
    return {
        "tokens": (sizes[96], sizes[144], base, sizes[320], sizes[448], sizes[560]),
        "batch_size": tuple(_work(batch_size=size) for size in (1, 2, 4, 8, 16, 32)),
        "num_layers": (_work(num_layers=3), _work(num_layers=6), base, _work(num_layers=24)),
        "hidden_size": (_wide(192), base, _wide(576), _wide(768), _wide(1024)),
        "parameters": (
            _work("ViT_Ti16", 1),
            _work("ViT_S16", 1),
            _work("ViT_B16", 1),
            _work("ViT_L16", 1, dropout_rate=0.0),
            _work("ViT_H14", 1, dropout_rate=0.0),
        ),
    }


AXES = _default_axes()
"""What `measure_growth` measures: the works of each axis, whose name is the key of a point that
grows along it."""


def measure_growth(
    *,
    repeats: int = 3,
    axes: Mapping[str, Sequence[Work]] | None = None,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Measures inference, a training step (AdamW) and peak memory along each axis.

    Args:
        repeats: timed runs of each kind at least, after one that warms up; short ones are timed
            for a second, at most ten times as often.
        axes: works of the subject `"keras_vit"` by axis, at least two each; the axis is the key of
            a point that grows along it, such as `"tokens"`. None takes `AXES`. A work that stands
            on several axes is measured once.
        progress: called with a line before each point; None for silence.

    Returns:
        A dictionary that JSON can hold: `repeats`, `machine` and `axes`. Each axis has `points`
        (see `describe_point`; with `infer_s`, `train_s`, median seconds of a batch, `infer_mib`,
        `train_mib`, most MiB held beyond what the imports take, and `failure`, why a point could
        not be measured to the end, or None) and `fits`, `fit_power` of each of `MEASURES`, or None
        where fewer than two points have it.

    Raises:
        ValueError: an axis of which no point has such a key.
    """
    axes = AXES if axes is None else axes
    described = {name: [describe_point(work) for work in works] for name, works in axes.items()}
    for name, points in described.items():
        if len(points) < 2 or any(name not in point for point in points):
            raise ValueError(
                "Expected axes named by a key of their points, of at least two points each. "
                f"Received: {name!r} of {len(points)} points."
            )
    measured: dict[str, dict[str, Any]] = {}
    result: dict[str, Any] = {"repeats": repeats, "machine": describe_machine(), "axes": {}}
    for name, works in axes.items():
        for work, point in zip(works, described[name], strict=True):
            key = repr(work)
            if key not in measured:
                if progress:
                    progress(f"{name} {point[name]:,}: {work.model}, batch {work.batch_size}")
                measured[key] = _measure(work, repeats)
            point.update(measured[key])
        result["axes"][name] = {
            "points": described[name],
            "fits": {measure: fit_points(described[name], name, measure) for measure in MEASURES},
        }
    return result


def describe_point(work: Work) -> dict[str, Any]:
    """Says what a work is, in numbers.

    Args:
        work: of the subject `"keras_vit"`; its options are `input_shape` and fields of the config.

    Returns:
        `model`, `dtype`, `batch_size` (images), `image_size` (height, width in pixels), `tokens`,
        `num_layers`, `hidden_size`, `parameters`, and `gflop_per_image`, those of the matrix
        products of one forward pass.
    """
    config = config_of(work)
    return {
        "model": work.model,
        "dtype": work.dtype,
        "batch_size": work.batch_size,
        "image_size": list(config.image_size),
        "tokens": config.num_tokens,
        "num_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "parameters": count_parameters(config),
        "gflop_per_image": forward_flops(config) / 1e9,
    }


def _measure(work: Work, repeats: int) -> dict[str, Any]:
    """Measures one work in a process of its own; what fails leaves None and a reason."""
    figures: dict[str, Any] = {**dict.fromkeys(MEASURES), "failure": None}
    with contextlib.closing(Worker(work)) as worker, noting_failure(figures):
        imported = worker.read()["imported_mib"]
        for command in ("infer", "train"):
            seconds, peak = time_runs(worker, command, repeats)
            figures[f"{command}_s"] = statistics.median(seconds)
            figures[f"{command}_mib"] = peak - imported
    return figures


def time_runs(worker: Any, command: str, repeats: int) -> tuple[list[float], float]:
    """Returns the seconds of each run but the first, and the peak memory in MiB at the end."""
    worker.ask(command)
    seconds: list[float] = []
    while len(seconds) < repeats or (
        sum(seconds) < _REPEATED_FOR and len(seconds) < _MOST_REPEATS * repeats
    ):
        answer = worker.ask(command)
        seconds.append(answer["seconds"])
    return seconds, answer["peak_mib"]


def fit_power(x: Sequence[float], y: Sequence[float]) -> dict[str, float | None]:
    """Fits y = factor * x ** exponent by least squares of the logarithms.

    Args:
        x: positive numbers, at least two different ones.
        y: positive numbers.

    Returns:
        `exponent`, `factor`, `r_squared` (of the logarithms; 1 where y does not change), and
        `upper_exponent`, that of the upper half of the points alone (None for fewer than four):
        where it is larger, y is not yet the power that it becomes.

    Raises:
        ValueError: numbers that have no such fit.
    """
    if len(x) != len(y) or len(set(x)) < 2 or not all(value > 0 for value in (*x, *y)):
        raise ValueError(
            "Expected as many positive x as y, at least two of them different. "
            f"Received: x={list(x)}, y={list(y)}."
        )
    order = np.argsort(x)
    log_x, log_y = np.log(np.asarray(x, float)[order]), np.log(np.asarray(y, float)[order])
    exponent, constant = np.polyfit(log_x, log_y, 1)
    residual = np.sum((log_y - exponent * log_x - constant) ** 2)
    spread = np.sum((log_y - log_y.mean()) ** 2)
    half = len(x) // 2
    upper = len(x) >= _LEAST_POINTS and len(set(log_x[half:])) > 1
    return {
        "exponent": float(exponent),
        "factor": float(math.exp(constant)),
        "r_squared": float(1 - residual / spread) if spread > 0 else 1.0,
        "upper_exponent": float(np.polyfit(log_x[half:], log_y[half:], 1)[0]) if upper else None,
    }


def fit_points(
    points: Sequence[Mapping[str, Any]], axis: str, measure: str
) -> dict[str, float | None] | None:
    """Fits one measure of some points along an axis.

    Args:
        points: of a result of `measure_growth`; those without the measure are left out.
        axis: key of what grows.
        measure: key of `MEASURES`.

    Returns:
        What `fit_power` returns; None where fewer than two points are left.
    """
    pairs = [(point[axis], point[measure]) for point in points if (point[measure] or 0) > 0]
    if len({x for x, _ in pairs}) < 2:
        return None
    return fit_power(*zip(*pairs, strict=True))


def format_growth(result: Mapping[str, Any]) -> str:
    """Formats what `measure_growth` returned.

    Args:
        result: its dictionary.

    Returns:
        The machine; for each axis a table and a line with the exponents that fit it. "GFLOP/s" is
        the arithmetic of inference over its time; `R2` is of the logarithms. A point that failed
        has a line with the reason.
    """
    machine = result["machine"]
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['backend']}"]
    for name, axis in result["axes"].items():
        lines += ["", f"against {name}", *align([_HEADER, *map(_cells, axis["points"])])]
        for measure, title in MEASURES.items():
            fit = axis["fits"][measure]
            if fit is None:
                continue
            upper = fit["upper_exponent"]
            more = f", upper half ^{upper:.2f}" if upper is not None else ""
            lines.append(
                f"{title} ~ {name}^{fit['exponent']:.2f} (R2 {fit['r_squared']:.3f}{more})"
            )
        lines += [
            f"{point['model']}, batch {point['batch_size']}: {point['failure']}"
            for point in axis["points"]
            if point["failure"]
        ]
    return "\n".join(lines)


_HEADER = (
    "model", "pixels", "tokens", "batch", "blocks", "width", "M param.", "GFLOP/img",
    "infer s", "train s", "GFLOP/s", "infer MiB", "train MiB",
)  # fmt: skip


def _cells(point: Mapping[str, Any]) -> tuple[str, ...]:
    rate = None
    if point["infer_s"]:
        rate = point["gflop_per_image"] * point["batch_size"] / point["infer_s"]
    measured = (
        (point["infer_s"], ".3f"), (point["train_s"], ".3f"), (rate, ".0f"),
        (point["infer_mib"], ",.0f"), (point["train_mib"], ",.0f"),
    )  # fmt: skip
    return (
        point["model"],
        "x".join(map(str, point["image_size"])),
        *(str(point[key]) for key in ("tokens", "batch_size", "num_layers", "hidden_size")),
        f"{point['parameters'] / 1e6:.1f}",
        f"{point['gflop_per_image']:.3g}",
        *("-" if value is None else format(value, form) for value, form in measured),
    )
