"""Token merging: how fast a model is, and how often it is right, against the tokens it merges."""

from __future__ import annotations

import os
import pathlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.agreement import agreement
from benchmarks.subjects import OF_A_FILE
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import race
from keras_vit.benchmark.work import Work
from keras_vit.checks import check_int
from keras_vit.files import replacing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.cost import forward_flops
from keras_vit.models.variants import get_variant, list_models
from keras_vit.tables import align

_THROUGHPUT, _ACCURACY = "#0072B2", "#D55E00"  # Okabe and Ito's; the markers differ as well


def measure_merging(
    model: str | os.PathLike,
    *,
    images: np.ndarray | None = None,
    labels: Any = None,
    counts: Sequence[int] | None = None,
    batch_size: int = 8,
    repeats: int = 5,
) -> dict[str, Any]:
    """Measures a model with several numbers of merged tokens, in turn, each in its own process.

    Args:
        model: name of a variant, which gets random weights; or what `load_model` takes, such as
            a `.keras` file, whose weights are kept whatever it merged before.
        images: for a trained model: prepared as it takes them, (count, height, width, channels).
            What it says of these with each count is compared with what it says with none.
        labels: the true class of each image, or None.
        counts: tokens that every block merges; 0 is always added. None takes up to five, from 0
            to the share of a block in all patches.
        batch_size: images a batch of the timed inferences.
        repeats: timed inferences of each, after two others; for a model that takes milliseconds
            some 50 are needed.

    Returns:
        A dictionary that JSON can hold: `model`, `batch_size`, `images` (how many), `patches`,
        `blocks`, `matrix_product_gflops`, `machine`, and `rows`, fewest merged first: each with
        `token_merging`, `tokens` after the last block, `gflop_per_image`, `infer_s`, `peak_mib`
        (of its whole process) and, with images, `agreement` with the model that merges none (see
        `benchmarks.agreement.agreement`).

    Raises:
        ValueError: images of a variant or of a model without a head, labels without images, a
            negative count, or no such model.
        RuntimeError: a count that cannot be measured.

    Reference: "Token Merging" (arXiv 2210.09461), section 4 and Figure 4.
    """
    model = os.fspath(model)
    if labels is not None and images is None:
        raise ValueError("Expected `images` with `labels`. Received: images=None.")
    with tempfile.TemporaryDirectory() as scratch:
        if model in list_models():
            if images is not None:
                raise ValueError(
                    "Expected `images` with the file of a trained model alone. "
                    f"Received: model={model!r}, which gets random weights."
                )
            config, agreements = get_variant(model), []
            works = {
                count: Work("keras_vit", model, "float32", batch_size, {"token_merging": count})
                for count in _counts(config, counts)
            }
        else:
            config, works, agreements = _trained(
                model, images, labels, counts, batch_size, pathlib.Path(scratch)
            )
        result = race(
            {_name(count): work for count, work in works.items()},
            {_name(count): ("infer",) for count in works},
            repeats=repeats,
        )
    rows = []
    for index, count in enumerate(works):
        figures = result.figures[_name(count)]
        if figures.failure:
            raise RuntimeError(figures.failure)
        row = _row(config, count)
        row |= {"infer_s": figures.infer_s, "peak_mib": figures.infer_peak_mib}
        rows.append(row | ({"agreement": agreements[index]} if agreements else {}))
    return {
        "model": model,
        "batch_size": batch_size,
        "images": 0 if images is None else len(images),
        "patches": config.grid_size[0] * config.grid_size[1],
        "blocks": config.num_layers,
        "matrix_product_gflops": statistics.median(result.limits),
        "machine": describe_machine(),
        "rows": rows,
    }


def with_merging(model: Any, token_merging: int | Sequence[int]) -> Any:
    """Returns a model of the same weights that merges another number of tokens.

    Args:
        model: a `keras_vit.VisionTransformer`; it stays as it is.
        token_merging: the field of the config: one number, or one a block.
    """
    values = model.get_config()
    if not isinstance(token_merging, int):
        token_merging = list(token_merging)
    values["config"] = {**values["config"], "token_merging": token_merging}
    changed = type(model).from_config(values)
    changed.set_weights(model.get_weights())  # merging adds no weights and changes no order
    return changed


def _name(count: int) -> str:
    return f"r={count}"


def _counts(config: VisionTransformerConfig, counts: Sequence[int] | None) -> list[int]:
    """Returns the numbers of merged tokens to measure, from 0 upwards."""
    if counts is None:
        most = config.grid_size[0] * config.grid_size[1] // config.num_layers
        counts = [round(most * step / 4) for step in range(5)]
    for count in counts:
        check_int("counts", count, 0)
    return sorted({0, *map(int, counts)})


def _trained(
    source: str,
    images: np.ndarray | None,
    labels: Any,
    counts: Sequence[int] | None,
    batch_size: int,
    folder: pathlib.Path,
) -> tuple[VisionTransformerConfig, dict[int, Work], list[dict[str, float]]]:
    """Writes a trained model once for each count; with images also says what each agrees on."""
    from keras_vit.applications.model_files import load_model
    from keras_vit.export.exportable import Exportable

    loaded = load_model(source)
    if images is not None and loaded.logits is None:
        raise ValueError(f"Expected a model with a head. Received: {source!r}, without one.")
    works, agreements, expected = {}, [], None
    for count in _counts(loaded.config, counts):
        merging = with_merging(loaded, count)
        path = folder / f"{count}.keras"
        merging.save(path)
        works[count] = Work(OF_A_FILE, str(path), batch_size=batch_size)
        if images is None:
            continue
        parts = [
            Exportable(merging).outputs(images[start : start + batch_size])
            for start in range(0, len(images), batch_size)
        ]
        outputs = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        expected = outputs if expected is None else expected
        agreements.append(agreement(expected, outputs, labels))
    return loaded.config, works, agreements


def _row(config: VisionTransformerConfig, count: int) -> dict[str, Any]:
    """Returns what is known of a count without measuring."""
    config = config.replace(token_merging=count)
    tokens, prefix = config.num_tokens, config.num_prefix_tokens
    for _ in range(config.num_layers):
        tokens -= min(count, (tokens - prefix) // 2)
    gflop = forward_flops(config) / 1e9
    return {"token_merging": count, "tokens": tokens, "gflop_per_image": gflop}


def _rates(row: Mapping[str, Any], batch_size: int) -> tuple[float, float, float]:
    """Returns images a second: the median, the lowest and the highest."""
    rates = [batch_size / seconds for seconds in row["infer_s"]]
    return statistics.median(rates), min(rates), max(rates)


def format_merging(result: Mapping[str, Any]) -> str:
    """Formats what `measure_merging` returned.

    Args:
        result: its dictionary.

    Returns:
        Lines of text: the model and the machine, then a row for each number of merged tokens. "r"
        is that of a block, "tokens" what the last block leaves, "times" the speed against r=0, "of
        limit" the share of the machine's own matrix-product speed, "MiB" the most memory of the
        process. Where images were given, "same" is the share with the class that r=0 gives, and
        "accuracy" stands where labels are known.
    """
    machine, batch_size, rows = result["machine"], result["batch_size"], result["rows"]
    compared = f"; compared on {result['images']} images" if result["images"] else ""
    lines = [
        f"{result['model']}, {result['patches']} patches, {result['blocks']} blocks, batch "
        f"{batch_size}{compared}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['backend']}",
    ]
    header = ["r", "tokens", "GFLOP", "img/s", "(min-max)", "times", "of limit", "MiB"]
    agreements = [row.get("agreement") for row in rows]
    if agreements[0]:
        header += ["same"] + ["accuracy"] * ("accuracy" in agreements[0])
    table = [header]
    first = _rates(rows[0], batch_size)[0]
    for row, agreed in zip(rows, agreements, strict=True):
        rate, low, high = _rates(row, batch_size)
        share = rate * row["gflop_per_image"] / result["matrix_product_gflops"]
        cells = [str(row["token_merging"]), str(row["tokens"]), f"{row['gflop_per_image']:.3g}"]
        cells += [f"{rate:,.2f}", f"{low:,.2f}-{high:,.2f}", f"{rate / first:.2f}"]
        cells += [f"{share:.0%}", f"{row['peak_mib']:.0f}"]
        if agreed:
            cells += [f"{agreed['top1_agreement']:.1%}"]
            cells += [f"{agreed['accuracy']:.2%}"] if "accuracy" in agreed else []
        table.append(cells)
    return "\n".join([*lines, *align(table)])


def plot_merging(result: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Draws throughput and, where it is known, accuracy against the tokens that a block merges.

    Args:
        result: what `measure_merging` returned.
        path: the PNG file.
    """
    from matplotlib.figure import Figure

    rows = result["rows"]
    counts = [row["token_merging"] for row in rows]
    rates, low, high = zip(*(_rates(row, result["batch_size"]) for row in rows), strict=True)
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(counts, low, high, color=_THROUGHPUT, alpha=0.15, linewidth=0)
    (speed,) = axes.plot(counts, rates, color=_THROUGHPUT, marker="o", linewidth=2)
    drawn, names = [speed], ["throughput (band: lowest to highest)"]
    for count, rate in zip(counts, rates, strict=True):
        axes.annotate(
            f"{rate / rates[0]:.2f}×", (count, rate), (0, -17), textcoords="offset points",
            ha="center", color=_THROUGHPUT,
        )  # fmt: skip
    axes.set(
        xlabel="tokens merged in each block (r)",
        xticks=counts,
        ylim=(0, 1.35 * max(high)),
        title=f"{pathlib.Path(result['model']).name}: {result['patches']} patches, "
        f"{result['blocks']} blocks, batch {result['batch_size']}",
    )
    axes.set_ylabel("images a second", color=_THROUGHPUT)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if "accuracy" in rows[0].get("agreement", {}):
        right = axes.twinx()
        accuracy = [100 * row["agreement"]["accuracy"] for row in rows]
        drawn += right.plot(counts, accuracy, color=_ACCURACY, marker="s", linewidth=2, ls="--")
        names.append(f"accuracy on {result['images']} images")
        right.set_ylabel("accuracy (%)", color=_ACCURACY)
        right.set_ylim(max(0, min(accuracy) - 10), min(100, max(accuracy) + 2) + 0.5)
        right.spines[["top"]].set_visible(False)
    figure.legend(drawn, names, loc="outside lower center", frameon=False, ncols=2)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
