"""A comparison at equal compute as a summary, a table and a plot."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.files import replacing

# Okabe and Ito's colours, those that stand out from white; the marker differs as well.
_STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
)


def summarize_runs(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Puts the runs of a model at a share of the budget, one a seed, into one row.

    Args:
        runs: from `compare`.

    Returns:
        Rows in the order of the runs: `model`, `share`, `parameters`, `flops_an_image`, `steps`,
        `batch_size`, `flops`, `split`; the mean `accuracy` over the seeds, `lowest`, `highest` and
        `accuracies`; the mean `seconds`.
    """
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["model"], run["share"]), []).append(run)
    same = ("model", "share", "parameters", "flops_an_image", "steps", "batch_size", "flops",
            "split")  # fmt: skip
    rows = []
    for group in groups.values():
        accuracies = [run["accuracy"] for run in group]
        rows.append(
            {
                **{key: group[0][key] for key in same},
                "accuracy": float(np.mean(accuracies)),
                "lowest": min(accuracies),
                "highest": max(accuracies),
                "accuracies": accuracies,
                "seconds": float(np.mean([run["seconds"] for run in group])),
            }
        )
    return rows


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as a Markdown table, smallest budget first.

    Args:
        rows: from `summarize_runs`.
    """
    lines = [
        "| budget | model | parameters | GFLOP an image | steps | GFLOP | accuracy (%) | s |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        accuracy = f"{100 * row['accuracy']:.1f}"
        if len(row["accuracies"]) > 1:
            accuracy += f" ({100 * row['lowest']:.1f} to {100 * row['highest']:.1f})"
        lines.append(
            f"| {100 * row['share']:g} % | {row['model']} | {row['parameters']:,} "
            f"| {row['flops_an_image'] / 1e9:.3g} | {row['steps']:,} | {row['flops'] / 1e9:,.0f} "
            f"| {accuracy} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def plot_comparison(
    rows: Sequence[Mapping[str, Any]], path: str | os.PathLike, *, title: str = ""
) -> None:
    """Draws accuracy against training compute, with the mean and the range of the seeds.

    Args:
        rows: from `summarize_runs`; at least one.
        path: the PNG file.
        title: a line above.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(row["model"] for row in rows))
    for index, model in enumerate(models):
        points = sorted((row for row in rows if row["model"] == model), key=lambda r: r["flops"])
        compute = [row["flops"] / 1e9 for row in points]
        mean, lowest, highest = (
            np.array([100 * row[key] for row in points])
            for key in ("accuracy", "lowest", "highest")
        )
        color, marker = _STYLES[index % len(_STYLES)]
        axes.errorbar(
            compute,
            mean,
            yerr=[mean - lowest, highest - mean],
            label=f"{model}, {_short(points[0]['parameters'])} parameters, "
            f"{points[0]['flops_an_image'] / 1e9:.2g} GFLOP an image",
            color=color,
            marker=marker,
            capsize=4,
            linewidth=2,
        )
    axes.set_xscale("log")
    ticks = sorted({row["share"]: row["flops"] / 1e9 for row in rows}.values())
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _count(value)))
    axes.set(
        xlabel="training compute (GFLOP, logarithmic)",
        ylabel=f"accuracy on {rows[0]['split']} images (%)",
        title=title,
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False, ncols=1)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"
