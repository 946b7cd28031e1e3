"""What a finished run says about itself, as `summary.json` holds it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.training.callbacks import HELD_OUT
from keras_vit.training.recipes import Recipe
from keras_vit.training.resuming import versions


def summarize(
    recipe: Recipe,
    model: keras.Model,
    data: ImageDataset,
    *,
    history: Sequence[Mapping[str, Any]],
    final: Mapping[str, float],
    record: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Puts together the summary of a run.

    Args:
        recipe: of the run.
        model: trained.
        data: what it learned.
        history: the lines of `history.jsonl`, at least one.
        final: loss and accuracy of the trained model on the watched split; empty without one.
        record: of the run's checkpoints: `run_id` and `resumed_at_steps`.
        seconds: of training, in all processes together.

    Returns:
        Plain JSON values. Speed is the median over the epochs; `model` is there where the model
        has a `config`.
    """
    speeds = [line["images_per_second"] for line in history if "images_per_second" in line]
    config = getattr(model, "config", None)
    return {
        "run_id": record["run_id"],
        "dataset": data.name,
        "class_names": list(data.class_names),
        "images": {role: split.num_examples for role, split in data.splits.items()},
        "watched_split": data.watched,
        **{f"{data.watched}_{name}": float(value) for name, value in final.items()},
        "best_epoch": best_epoch(history, data.watched),
        "training_loss": history[-1]["loss"],
        "training_accuracy": history[-1]["accuracy"],
        "steps": history[-1]["step"],
        "resumed_at_steps": list(record["resumed_at_steps"]),
        "seconds": round(seconds, 2),
        "images_per_second": round(statistics.median(speeds), 1) if speeds else None,
        "parameters": model.count_params(),
        "model_name": model.name,
        **({"model": config.to_dict()} if hasattr(config, "to_dict") else {}),
        "preprocessing": model.preprocessing.to_dict(),
        "recipe": recipe.to_dict(),
        "versions": versions(),
    }


def best_epoch(history: Sequence[Mapping[str, Any]], watched: str | None) -> dict[str, Any] | None:
    """Returns the first epoch with the highest held-out accuracy, or None without a held-out split.

    Args:
        history: the lines of `history.jsonl`.
        watched: role of the held-out split.

    Returns:
        `epoch`, `step`, and for the split `test`, for example, `test_accuracy` and `test_loss`.
    """
    lines = [line for line in history if line.get(f"{HELD_OUT}accuracy", -1) >= 0]  # no NaN
    if not lines:
        return None
    line = max(lines, key=lambda line: line[f"{HELD_OUT}accuracy"])
    figures = {f"{watched}_{name}": line[HELD_OUT + name] for name in ("accuracy", "loss")}
    return {"epoch": line["epoch"], "step": line["step"], **figures}
