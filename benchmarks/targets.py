"""What is promised about speed, and how a run of the suite stands to it."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.suite import INT8, OPENVINO, OURS, REMATERIALIZED
from keras_vit.benchmark.table import format_table
from keras_vit.tables import align

EXPORTS_BEFORE = 7.1
"""Seconds to write and check all forms of the digits model at `quick_start.BEFORE`, on the machine
of `suite_cpu.json`: 3.6 to write them, three of them checked within, and 3.5 for the check of the
SavedModel, which the command made in a process of its own."""


@dataclasses.dataclass(frozen=True)
class Promise:
    """One line of the table of targets.

    Attributes:
        work: what is compared, in words.
        beside: what ours is compared with, in words.
        ours: our figure.
        other: the figure beside it, in the same unit.
        unit: of both.
        target: what ours divided by the other should be, at least or at most.
        at_most: whether less is better.
    """

    work: str
    beside: str
    ours: float
    other: float
    unit: str
    target: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        """Ours divided by the other."""
        return self.ours / self.other

    @property
    def is_kept(self) -> bool:
        """Whether the ratio is on the right side of the target."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def promises(result: Mapping[str, Any]) -> list[Promise]:
    """Compares a run of the suite with what is promised; what was not measured is left out.

    Args:
        result: what `measure_suite` returned.
    """
    races = result["races"]
    kept = []
    for name in ("inference float32", "inference float32 of one image"):
        if name in races:
            kept += _inference(name, races[name])
    if "inference bfloat16" in races:
        kept += _half_precision(races["inference bfloat16"])
    for name in ("training float32", "training bfloat16"):
        if name in races:
            kept += _training(name, races[name])
    if "fit" in result:
        fit = result["fit"]
        seconds = statistics.median(fit["bare_s"])
        kept.append(
            Promise(f"fit {fit['dtype']}", "bare step", fit["ratio"] * seconds, seconds,
                    "s a step", 1.03, at_most=True)
        )  # fmt: skip
    return kept + _start_up(result) + _small(result)


def rates(race: Mapping[str, Any], command: str) -> dict[str, float]:
    """Returns the median images a second of each subject of a race that was measured.

    Args:
        race: what `measure` returned.
        command: `"infer"` or `"train"`.
    """
    seconds = {each["subject"]: each[f"{command}_s"] for each in race["subjects"]}
    return {
        name: race["batch_size"] / statistics.median(runs) for name, runs in seconds.items() if runs
    }


def _fastest(speeds: Mapping[str, float], *words: str) -> str | None:
    """Returns the fastest subject of others, of those whose name begins with one of the words."""
    others = {
        name: speed
        for name, speed in speeds.items()
        if not name.startswith(OURS) and (not words or name.startswith(words))
    }
    return max(others, key=others.get) if others else None


def _inference(name: str, race: Mapping[str, Any]) -> list[Promise]:
    speeds = rates(race, "infer")
    ours, peer = speeds[OURS], _fastest(speeds)
    rows = []
    if peer:
        rows.append(Promise(name, f"fastest peer: {peer}", ours, speeds[peer], "img/s", 1.0))
    if OPENVINO in speeds and peer:
        row = Promise(f"{name}, exported to OpenVINO", peer, speeds[OPENVINO], speeds[peer],
                      "img/s", 1.0)  # fmt: skip
        rows.append(row)
    if race["batch_size"] > 1:
        speed = ours * race["gflop_per_image"]
        limit = race["matrix_product_gflops"]
        rows.append(Promise(name, "the machine's matrix product", speed, limit, "GFLOP/s", 0.9))
    if INT8 in speeds:
        rows.append(Promise("int8, LiteRT", "our float32", speeds[INT8], ours, "img/s", 2.2))
    return rows


def _half_precision(race: Mapping[str, Any]) -> list[Promise]:
    speeds, name = rates(race, "infer"), "inference bfloat16"
    rows = []
    if "keras_hub" in speeds:
        hub = speeds["keras_hub"]
        rows.append(Promise(name, "keras_hub", speeds[OURS], hub, "img/s", 1.2))
    if OPENVINO in speeds and "timm_openvino" in speeds:
        ours, other = speeds[OPENVINO], speeds["timm_openvino"]
        row = Promise(f"{name}, exported to OpenVINO", "timm_openvino", ours, other, "img/s", 1.0)
        rows.append(row)
    return rows


def _training(name: str, race: Mapping[str, Any]) -> list[Promise]:
    speeds = rates(race, "train")
    peaks = {each["subject"]: each["train_peak_mib"] for each in race["subjects"]}
    rows, timm = [], _fastest(speeds, "timm")
    if "keras_hub" in speeds:
        goal = 1.1 if race["dtype"] == "float32" else 1.2
        hub = speeds["keras_hub"]
        rows.append(Promise(name, "keras_hub", speeds[OURS], hub, "img/s", goal))
    if timm:
        rows.append(Promise(name, timm, speeds[OURS], speeds[timm], "img/s", 1.8))
    for subject, goal in ((OURS, 1.0), (REMATERIALIZED, 0.6)):
        if "keras_hub" in speeds and subject in speeds:
            work = name + ", peak memory" + (", rematerialized" if goal < 1 else "")
            hub = peaks["keras_hub"]
            rows.append(Promise(work, "keras_hub", peaks[subject], hub, "MiB", goal, at_most=True))
    if REMATERIALIZED in speeds:
        work, batch_size = f"{name}, time, rematerialized", race["batch_size"]
        seconds = batch_size / speeds[REMATERIALIZED], batch_size / speeds[OURS]
        rows.append(Promise(work, "not rematerialized", *seconds, "s a step", 1.4, at_most=True))
    return rows


def _start_up(result: Mapping[str, Any]) -> list[Promise]:
    if "start-up" not in result:
        return []
    measured = result["start-up"]
    seconds, loading = measured["import_s"], measured["loading"]
    allowed = 1 + 0.3 / seconds["tensorflow"]
    rows = [
        Promise("import, at most 0.3 s more", "import tensorflow", seconds["keras_vit"],
                seconds["tensorflow"], "s", allowed, at_most=True),
        Promise("loading .npz", "reading its arrays", loading["load_s"], loading["read_s"], "s",
                1.2, at_most=True),
    ]  # fmt: skip
    if "fresh_s" in loading:
        rows.append(_within("build", loading["fresh_s"], 0.7))
    return rows + [
        _within(name, value, 1.0) for name, value in measured.get("commands", {}).items()
    ]


def _within(work: str, seconds: float, most: float) -> Promise:
    return Promise(work, f"{most:g} s", seconds, most, "s", 1.0, at_most=True)


def _small(result: Mapping[str, Any]) -> list[Promise]:
    """What is promised of small models, folders, memory and growth."""
    rows = []
    if small := result.get("small model"):
        bare = 1000 * min(small["bare_s"], small["bare_xla_s"])
        rows.append(
            Promise("train, digits model", "bare compiled step", small["ratio"] * bare, bare,
                    "ms a step", 1.1, at_most=True)
        )  # fmt: skip
        allowed = 1000 * small["call_s"] + 2
        rows.append(
            Promise("predict, one image", "compiled call + 2 ms", 1000 * small["predict_s"],
                    allowed, "ms", 1.0, at_most=True)
        )  # fmt: skip
    if (quick := result.get("quick start")) and quick.get("before_s"):
        seconds = statistics.median(quick["seconds"])
        rows.append(
            Promise("quick start", "before", seconds, quick["before_s"], "s", 1 / 3, at_most=True)
        )
    if folder := result.get("folder"):
        photos, seconds = folder["photos"], folder["seconds"]
        for whole, alone in (("evaluate", "decode"), ("classify", "read")):
            slower = max(seconds["model"], seconds[alone])
            work = f"{whole} a folder of photos"
            ours, other = photos / seconds[whole], photos / slower
            rows.append(Promise(work, "the slower half alone", ours, other, "img/s", 0.95))
    if memory := result.get("rollout memory"):
        work = f"rollout at {memory['image_size']} px, peak memory"
        ours, other = memory["rollout_mib"], memory["forward_mib"]
        rows.append(Promise(work, "forward pass", ours, other, "MiB", 1.3, at_most=True))
    if exports := result.get("exports"):
        seconds = sum(exports["seconds"].values())
        rows.append(
            Promise("export of the digits model, all forms", "before", seconds, EXPORTS_BEFORE, "s",
                    0.5, at_most=True)
        )  # fmt: skip
    return rows + _growth(result.get("growth", {}))


def _growth(growth: Mapping[str, Any]) -> list[Promise]:
    """No figure grows faster than the number of classes or files, from one row to the last."""
    rows = []
    for kind, names in (("classes", ("train_s", "decode_s")), ("files", ("scan_s", "mib"))):
        points = growth.get(kind, ())[-2:]
        if len(points) < 2:
            continue
        counts = [point[kind] for point in points]
        for name in names:
            work = f"{name}, {counts[0]:,} to {counts[1]:,} {kind}"
            times, more = points[1][name] / points[0][name], counts[1] / counts[0]
            rows.append(Promise(work, f"times as many {kind}", times, more, "times", 1.1, True))
    return rows


def format_suite(result: Mapping[str, Any]) -> str:
    """Formats what `measure_suite` returned: every race, then the targets and what falls short.

    Args:
        result: its dictionary.
    """
    parts = [f"{name}\n{format_table(race)}" for name, race in result["races"].items()]
    if chosen := result.get("type"):
        parts.append(f"--dtype=auto chooses {chosen['dtype']}: {chosen['why']}")
    days = result.get("measured", {})
    if len(set(days.values())) > 1:
        parts.append("\n".join(f"{section}: measured on {day}" for section, day in days.items()))
    return "\n\n".join([*parts, format_promises(promises(result))])


def format_promises(rows: list[Promise]) -> str:
    """Formats targets as a table, and names those that are not reached.

    Args:
        rows: what `promises` returned.
    """
    cells = [("work", "beside", "ours", "other", "unit", "ratio", "target", "reached")]
    for row in rows:
        cells.append(
            (
                row.work,
                row.beside,
                f"{row.ours:.4g}",
                f"{row.other:.4g}",
                row.unit,
                f"{row.ratio:.2f}",
                f"{'<=' if row.at_most else '>='} {row.target:.2f}",
                "yes" if row.is_kept else "NO",
            )
        )
    short = [f"{row.work} against {row.beside}: {row.ratio:.2f}" for row in rows if not row.is_kept]
    lines = align(cells)
    lines.append(f"{len(rows) - len(short)} of {len(rows)} targets reached")
    return "\n".join([*lines, *(f"falls short: {line}" for line in short)])
