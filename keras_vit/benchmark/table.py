"""The figures of a benchmark as a table for people and as JSON for programs."""

import statistics
from typing import Any

from keras_vit.tables import align

COLUMNS = (
    "subject",
    "build s",
    "first s",
    "infer img/s",
    "(min-max)",
    "of limit",
    "train img/s",
    "(min-max)",
    "of limit",
    "peak MiB infer",
    "train",
)


def rate_cells(seconds: list[float], batch_size: int) -> tuple[str, str, float]:
    """Turns the seconds of runs of `batch_size` images into images a second.

    Returns:
        The median and the range as cells of a table, and the median as a number; "-" and 0 where
        nothing was timed.
    """
    if not seconds:
        return "-", "-", 0.0
    rates = sorted(batch_size / second for second in seconds)
    median = statistics.median(rates)
    return f"{median:.2f}", f"{rates[0]:.2f}-{rates[-1]:.2f}", median


def format_table(result: dict[str, Any]) -> str:
    """Formats what `measure` returned.

    Args:
        result: the dictionary of `keras_vit.benchmark.measure`.

    Returns:
        Lines of text: the work and the machine, then a row a subject. "of limit" is the share of
        the machine's own matrix-product speed; a training step counts three forward passes.
    """
    machine, batch_size = result["machine"], result["batch_size"]
    gflop, limit = result["gflop_per_image"], result["matrix_product_gflops"]
    lines = [
        f"{result['model']}, {result['dtype']}, batch {batch_size}, {gflop:.1f} GFLOP an image; "
        f"{machine['processor']}, {machine['cores']} cores, {machine['backend']}",
        f"matrix product {limit:.0f} GFLOP/s: at most {limit / gflop:.1f} img/s, "
        f"{limit / gflop / 3:.1f} in training",
    ]
    rows = [COLUMNS]
    for subject in result["subjects"]:
        infer, infer_spread, infer_rate = rate_cells(subject["infer_s"], batch_size)
        train, train_spread, train_rate = rate_cells(subject["train_s"], batch_size)
        rows.append(
            (
                subject["subject"],
                f"{subject['build_s']:.2f}",
                f"{subject['first_call_s']:.2f}",
                infer,
                infer_spread,
                f"{infer_rate * gflop / limit:.0%}",
                train,
                train_spread,
                f"{3 * train_rate * gflop / limit:.0%}" if train_rate else "-",
                f"{subject['infer_peak_mib']:.0f}",
                f"{subject['train_peak_mib']:.0f}" if train_rate else "-",
            )
        )
    failures = [s for s in result["subjects"] if s.get("failure")]
    lines += align(rows)
    lines += [f"{subject['subject']}: {subject['failure']}" for subject in failures]
    return "\n".join(lines)
