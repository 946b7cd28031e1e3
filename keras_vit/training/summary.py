"""What a finished run says about itself, as `summary.json` holds it."""

import importlib.metadata
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from keras_vit.training.callbacks import HELD_OUT
from keras_vit.training.objectives.objective import Figure, Objective
from keras_vit.training.task import Task


def summarize(
    task: Task,
    *,
    history: Sequence[Mapping[str, Any]],
    final: Mapping[str, float],
    record: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Puts together the summary of a run.

    The history has the lines of `history.jsonl`, the record is that of the checkpoints; `final` are
    the figures of the trained model on the watched split, `seconds` those of all processes.

    Returns:
        Plain JSON values. Speed is the median over the epochs; `model` is there where the model
        has a `config`.
    """
    model, data, objective = task.model, task.data, task.objective
    speeds = [line["images_per_second"] for line in history if "images_per_second" in line]
    config = getattr(model, "config", None)
    return {
        "run_id": record["run_id"],
        "objective": objective.to_dict(),
        "dataset": data.name,
        "class_names": list(data.class_names),
        "images": {role: split.num_examples for role, split in data.splits.items()},
        "watched_split": data.watched,
        **{f"{data.watched}_{name}": float(value) for name, value in final.items()},
        "best_epoch": best_epoch(history, data.watched, objective),
        **{f"training_{figure.name}": history[-1][figure.name] for figure in objective.figures},
        "steps": history[-1]["step"],
        "resumed_at_steps": list(record["resumed_at_steps"]),
        "compiling": record["compiling"],
        "dtype": model.dtype_policy.name,
        "seconds": round(seconds, 2),
        "images_per_second": round(statistics.median(speeds), 1) if speeds else None,
        "parameters": model.count_params(),
        "model_name": model.name,
        **({"model": config.to_dict()} if hasattr(config, "to_dict") else {}),
        "preprocessing": model.preprocessing.to_dict(),
        "recipe": task.recipe.to_dict(),
        "versions": versions(),
    }


def best_epoch(
    history: Sequence[Mapping[str, Any]], watched: str | None, objective: Objective
) -> dict[str, Any] | None:
    """Returns the first of the best epochs on the held-out split, or None without such a split.

    Returns:
        `epoch`, `step`, and for the split `test`, for example, `test_loss` and `test_accuracy`.
    """
    best = max(history, key=lambda line: goodness(line, objective.best_by), default={})
    if goodness(best, objective.best_by) == -math.inf:
        return None
    names = [figure.name for figure in objective.figures]
    figures = {f"{watched}_{name}": best[HELD_OUT + name] for name in names}
    return {"epoch": best["epoch"], "step": best["step"], **figures}


def goodness(line: Mapping[str, Any], best_by: Figure) -> float:
    """Returns a number that is higher for a better epoch; minus infinity where nothing is known."""
    figure = line.get(HELD_OUT + best_by.name, math.nan)
    return -math.inf if math.isnan(figure) else figure if best_by.higher_is_better else -figure


def versions() -> dict[str, str]:
    """Returns the versions of the libraries that the numbers of a run depend on."""
    names = ("tensorflow", "keras", "numpy")
    return {name: importlib.metadata.version(name) for name in names}
