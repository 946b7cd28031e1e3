"""The ways to use a pretrained model that `benchmarks.recipes` compares, and their tables."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from benchmarks.small_sets import with_folder


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to use a pretrained model.

    Attributes:
        what: in words.
        settings: fields that differ from the recipe `auto`, as a command line gives them.
        passes: images seen, from which the epochs follow.
        named: the recipe itself, with its own length, instead of `auto`.
        frozen: share of the blocks that are frozen, the first ones.
        watched: whether the accuracy of the best epoch is measured too.
    """

    what: str
    settings: tuple[str, ...] = ()
    passes: int = 2400
    named: str | None = None
    frozen: float = 0.0
    watched: bool = False


PROBE = "probe"
_SLOW = ("learning_rate=2e-4",)
WAYS: dict[str, Way] = {
    PROBE: Way("linear probe"),
    "sgd": Way("all by SGD 3e-3, 16,000 images", named="finetune_small"),
    "head": Way("last layer, AdamW 1e-3", ("probe_first=false", "freeze=backbone",
                                           "learning_rate=1e-3")),
    "adamw": Way("AdamW 2e-4, layer decay .75", (*_SLOW, "probe_first=false")),
    "lpft": Way("the same, probe first", _SLOW, watched=True),
    "lpft short": Way("probe first, 800 images", _SLOW, passes=800),
    "lpft long": Way("probe first, 9,600 images", _SLOW, passes=9600, watched=True),
    "lpft fast": Way("probe first, 1e-3", ("learning_rate=1e-3",)),
    "auto": Way("`auto`: probe first, 8e-4 or 2e-4 by the width"),
    "lpft faster": Way("probe first, 3e-3", ("learning_rate=3e-3",)),
    "frozen": Way("`auto`, two thirds of the blocks frozen", frozen=2 / 3),
}  # fmt: skip


def read(path: str) -> list[dict[str, Any]]:
    """Returns the rows of a file, none if it is not there."""
    file = pathlib.Path(path)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Returns for each model a Markdown table of ways by sets: % right, mean and spread of seeds.

    A cell of one seed has no spread. The last column is the mean of what a way is above the probe
    of the same set and seed, its standard error, and the number of such pairs.
    """
    texts = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        sets = [title for title in with_folder("") if any(row["set"] == title for row in mine)]
        found = {name: _accuracies(mine, name) for name in WAYS}
        lines = [("", *sets, "above the probe"), ("---", *["---:"] * (len(sets) + 1))]
        for name, way in WAYS.items():
            lines.append((way.what, *_cells(found[name], found[PROBE], sets)))
            if kept := _accuracies(mine, name, "accuracy_of_best"):
                lines.append(("its best epoch", *_cells(kept, found[PROBE], sets)))
        shown = [line for line in lines if any(line[1:])]
        texts.append("\n".join([f"{model}:", "", *(f"| {' | '.join(line)} |" for line in shown)]))
    return "\n\n".join(texts)


def _accuracies(rows: list[dict[str, Any]], way: str, field: str = "accuracy") -> dict:
    """Returns % right of a way by set and seed."""
    return {
        (row["set"], row["seed"]): 100 * row[field]
        for row in rows
        if row["way"] == way and field in row
    }


def _cells(found: dict, probe: dict, sets: list[str]) -> list[str]:
    cells = []
    for title in sets:
        values = [value for (name, _), value in found.items() if name == title]
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.1f}{spread}" if values else "")
    above = [value - probe[pair] for pair, value in found.items() if pair in probe]
    if found is probe or len(above) < 2:
        return [*cells, ""]
    error = np.std(above, ddof=1) / len(above) ** 0.5
    return [*cells, f"{np.mean(above):+.1f} ± {error:.1f} ({len(above)})"]
