"""What was measured on a GPU, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_vit.tables import align


def format_gpu(result: Mapping[str, Any]) -> str:
    """Formats what `measure_gpu` returned.

    Args:
        result: its dictionary.

    Returns:
        Lines of text: the device, then a row for each model, size, task and subject. "against" is
        our speed over that of the fastest peer, "of peak" the share of the device's peak, "fused"
        whether attention is one kernel: for ours a call of cuDNN in the compiled program, for the
        others that they ask PyTorch for it.
    """
    peak = result["peak_flops"]
    peak = f"{peak / 1e12:.0f} TFLOP/s" if peak else "unknown"
    lines = [
        f"{result['device']} ({result['platform']}; {result['driver'] or 'no nvidia-smi'}), "
        f"{result['dtype']}, peak {peak}"
    ]
    if result["missing"]:
        lines.append(f"not installed: {', '.join(result['missing'])}")
    rows = [("model", "px", "task", "subject", "batch", "img/s", "(min-max)", "against", "of peak",
             "fused", "MiB")]  # fmt: skip
    for row in result["rows"]:
        work = (row["model"], str(row["size"]), row["task"], row["subject"], str(row["batch_size"]))
        rate = row["images_per_second"]
        if rate is None:
            rows.append((*work, "-", "-", "-", "-", "-", "-"))
            lines.append(f"{' '.join(work[:4])}: {row['failure']}")
            continue
        rates = sorted(row["batch_size"] * row["steps"] / seconds for seconds in row["seconds"])
        rows.append(
            (
                *work,
                f"{rate:,.1f}",
                f"{rates[0]:,.1f}-{rates[-1]:,.1f}",
                _against(row, result["rows"]),
                "-" if row["mfu"] is None else f"{row['mfu']:.1%}",
                "yes" if row["fused_attention"] else "no",
                "-" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}",
            )
        )
    return "\n".join([*lines, *align(rows)])


def _against(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns our speed over that of the fastest peer at the same work, for our rows."""
    if row["subject"] != "keras_vit":
        return "-"
    same = ("model", "size", "task")
    rates = [
        other["images_per_second"]
        for other in rows
        if other["subject"] != "keras_vit"
        and other["images_per_second"]
        and all(other[key] == row[key] for key in same)
    ]
    return f"{row['images_per_second'] / max(rates):.2f}" if rates else "-"
