"""Models beside each other at equal training compute: accuracy against operations.

The operations of a forward pass are counted from each model's graph, those of a step are three
times as many for each image: forward, gradient of the activations, gradient of the weights. Each
model gets the steps that a budget pays for, and each budget is a run of its own, with its own
schedule from warm-up to the end.

Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 4.4 and Figure 5, which
compares ViT with ResNets of up to 152 layers in this way.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from benchmarks.baselines import settle_statistics
from benchmarks.candidates import Candidate, affordable_steps, budget_of, count_cost
from keras_vit.data.dataset import ImageDataset
from keras_vit.evaluation.accuracy import evaluate
from keras_vit.files import write_json
from keras_vit.training import train
from keras_vit.training.recipes import Recipe

SHARES = (0.25, 0.5, 1.0)
SEEDS = (0, 1)
_CHECKPOINTS = 2  # a run: few, as one of ResNet152V2 takes 670 MB
_KEPT = ("result.json", "summary.json", "history.jsonl", "curves.png")


def compare(
    candidates: Sequence[Candidate],
    data: ImageDataset,
    *,
    output_dir: str | os.PathLike,
    budget: float | None = None,
    shares: Sequence[float] = SHARES,
    seeds: Sequence[int] = SEEDS,
    keep_models: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Trains each candidate at each share of a budget with each seed, and measures it.

    A run that was finished before, with the same model, recipe, data and seed, is read from its
    folder in `output_dir` and not trained again; one that was cut short goes on. Accuracy is
    measured after the last step, on test images where there are any, else on validation; nothing is
    chosen by it.

    Args:
        candidates: the models; names must differ.
        data: has a training split and another.
        output_dir: the folder; each run has one of its own in `runs/`.
        budget: operations of the longest run; None is what the first candidate's recipe spends.
        shares: parts of the budget, each a run, in (0, 1].
        seeds: of initial weights, order and augmentation; a run each.
        keep_models: whether trained weights stay; one ResNet152V2 takes 230 MB.
        report: is told a line when a run begins and when it ends.

    Returns:
        A dictionary for each run: `model`, `share`, `seed`, `parameters`, `flops_an_image`,
        `batch_size`, `steps`, `flops`, `accuracy` (0 to 1), `seconds` (of training), and `split`,
        on which it was measured. See `summarize_runs`.

    Raises:
        ValueError: names that are equal, shares outside (0, 1], nothing to measure on, or a budget
            that does not pay for a step or for the warm-up.
    """
    _check(candidates, data, shares, seeds)
    costs = {candidate.name: count_cost(candidate, data) for candidate in candidates}
    if budget is None:
        budget = budget_of(candidates[0], costs[candidates[0].name], data)
    runs = []
    for share, candidate, recipe in _plan(candidates, costs, budget, shares):
        cost = costs[candidate.name]
        for seed in seeds:
            result = _finished_or_run(
                candidate,
                recipe.replace(seed=seed),
                data,
                output_dir=Path(output_dir),
                keep_models=keep_models,
                report=report,
            )
            runs.append(
                {
                    "model": candidate.name,
                    "share": share,
                    **dataclasses.asdict(cost),
                    "flops": recipe.steps * cost.flops_a_step,
                    **{key: value for key, value in result.items() if key != "fingerprint"},
                }
            )
    return runs


def _plan(candidates, costs, budget, shares) -> list[tuple[float, Candidate, Recipe]]:
    """Returns every model at every share with its recipe, checked before anything is trained."""
    planned = []
    for share in sorted(set(shares)):
        for candidate in candidates:
            steps = affordable_steps(share * budget, costs[candidate.name], candidate.name)
            recipe = candidate.recipe.replace(steps=steps, epochs=None)
            if recipe.warmup_steps(steps) > steps:
                raise ValueError(
                    f"Expected a warm-up of at most the {steps} steps that {100 * share:g} % of "
                    f"the budget pays for with {candidate.name}. Received: "
                    f"warmup={recipe.warmup:g}. Set it to a share of the steps, such as 0.1."
                )
            planned.append((share, candidate, recipe))
    return planned


def _check(candidates, data, shares, seeds) -> None:
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Expected models of different names. Received: {names}.")
    if not shares or not all(0 < share <= 1 for share in shares) or not seeds:
        raise ValueError(
            "Expected shares of the budget in (0, 1] and at least one seed. "
            f"Received: shares={list(shares)}, seeds={list(seeds)}."
        )
    data.split("train")
    if not _measured(data):
        raise ValueError(f"Expected a test or validation split in {data.name!r}. Received none.")


def _measured(data: ImageDataset) -> str | None:
    return next((role for role in ("test", "validation") if role in data.splits), None)


def _finished_or_run(candidate, recipe, data, *, output_dir, keep_models, report) -> dict[str, Any]:
    """Returns the result of a run: the one that its folder holds, or a new one."""
    label = f"{candidate.name}, {recipe.steps:,} steps, seed {recipe.seed}"
    fingerprint = {
        "model": candidate.origin,
        "recipe": recipe.to_dict(),
        "data": {
            "name": data.name,
            "classes": list(data.class_names),
            "images": {role: split.num_examples for role, split in data.splits.items()},
        },
    }
    text = json.dumps(fingerprint, sort_keys=True)
    name = re.sub(r"[^A-Za-z0-9_.=-]+", "-", candidate.name)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    folder = output_dir / "runs" / f"{name}-{recipe.steps}-steps-seed{recipe.seed}-{digest}"
    file = folder / "result.json"
    if file.is_file():
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["fingerprint"] == json.loads(text):
            report(f"{label}: {100 * result['accuracy']:.2f} %, as found in {folder}")
            return result
    report(f"{label}: training")
    result = {**_run(candidate, recipe, data, folder), "fingerprint": fingerprint}
    write_json(file, result)
    if not keep_models:
        _remove_weights(folder)
    report(f"{label}: {100 * result['accuracy']:.2f} % after {result['seconds']:.0f} s")
    return result


def _run(candidate: Candidate, recipe: Recipe, data: ImageDataset, folder: Path) -> dict[str, Any]:
    keras.utils.clear_session()  # what earlier runs held
    gc.collect()
    model = candidate.build(recipe)
    settle_statistics(model, recipe.steps)
    # Held-out images are for the last weights: evaluating each epoch would cost and not count.
    learned = dataclasses.replace(data, validation=None, test=None)
    summary = train(
        recipe,
        model,
        learned,
        output_dir=folder,
        verbose=0,
        checkpoint_every=max(1, recipe.steps // _CHECKPOINTS),
        keep_checkpoints=1,
    ).summary
    role = _measured(data)
    measured = evaluate(model, data.split(role), data.class_names)
    return {
        "seed": recipe.seed,
        "steps": recipe.steps,
        "split": role,
        "accuracy": measured.top1,
        "loss": measured.loss,
        "calibration_error": measured.calibration_error,
        "training_accuracy": summary["training_accuracy"],
        "seconds": summary["seconds"],
    }


def _remove_weights(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in _KEPT:
            path.unlink()
