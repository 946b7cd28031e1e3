"""What takes part in a comparison at equal compute, and what its training costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from benchmarks.baselines import SMALLEST_SIDE, build_baseline
from benchmarks.graph_flops import count_flops
from keras_vit.data.dataset import ImageDataset
from keras_vit.images.spec import Preprocessing
from keras_vit.training.models import build_model
from keras_vit.training.recipes import Recipe

# Forward, gradient of the activations, gradient of the weights: each the same products again.
PASSES_A_STEP = 3
_OURS_ALONE = {
    "dropout_rate": None,
    "drop_path_rate": None,
    "rematerialize": None,
    "layer_decay": None,
    "freeze": None,
}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that takes part.

    Attributes:
        name: what it is called in table and plot.
        recipe: how it is trained; steps and seed are set for each run.
        build: makes a fresh model with `preprocessing`, whose output are logits or which has
            `logits`, from the recipe of a run, whose seed it uses.
        origin: what makes it this model and no other: spec, weights, size; plain JSON values.
    """

    name: str
    recipe: Recipe
    build: Callable[[Recipe], keras.Model]
    origin: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: all weights.
        flops_an_image: operations of a forward pass.
        batch_size: images a step.
        passes_a_step: forward passes that a step costs as much as: 3, or 6 where sharpness-aware
            minimisation takes the gradient twice. Frozen blocks and the drop path are not taken
            off, blocks that are computed again to save memory are not added.
    """

    parameters: int
    flops_an_image: int
    batch_size: int
    passes_a_step: int = PASSES_A_STEP

    @property
    def flops_a_step(self) -> int:
        """Operations of a training step."""
        return self.passes_a_step * self.flops_an_image * self.batch_size


def our_candidate(
    spec: str,
    data: ImageDataset,
    recipe: Recipe,
    *,
    weights: str | None = None,
    image_size: int | None = None,
) -> Candidate:
    """Returns one of our models as a candidate.

    Args:
        spec: as in `keras_vit.training.build_model`.
        data: what it learns.
        recipe: how.
        weights: of a variant; None for initial values.
        image_size: side in pixels; None for the model's own.

    Returns:
        The candidate; `build` raises as `build_model` does.
    """

    def build(recipe_of_run: Recipe) -> keras.Model:
        return build_model(spec, data, recipe_of_run, weights=weights, image_size=image_size)

    name = Path(spec).stem if Path(spec).suffix else spec
    origin = {"spec": spec, "weights": weights, "image_size": image_size}
    return Candidate(name, recipe, build, origin)


def baseline_candidate(
    spec: str,
    data: ImageDataset,
    recipe: Recipe,
    *,
    weights: str | None = None,
    image_size: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Candidate:
    """Returns a model of keras.applications as a candidate.

    Args:
        spec: as in `build_baseline`.
        data: what it learns.
        recipe: how; what it says about the blocks of a transformer (dropout, drop path,
            rematerialisation, rates by layer, frozen blocks) is left out.
        weights: None for initial values, `"imagenet"`, or a file of weights without top.
        image_size: side in pixels; None is the size of `preprocessing`, but 32 at least.
        preprocessing: its way to resize and crop is taken; None squashes.

    Returns:
        The candidate; `build` raises as `build_baseline` does.
    """
    sized = preprocessing or Preprocessing(size=SMALLEST_SIDE)
    size = image_size or tuple(max(side, SMALLEST_SIDE) for side in sized.size)
    sized = sized.replace(size=size)

    def build(recipe_of_run: Recipe) -> keras.Model:
        return build_baseline(
            spec, data.num_classes, seed=recipe_of_run.seed, weights=weights, preprocessing=sized
        )

    recipe = recipe.replace(**_OURS_ALONE)
    origin = {"spec": f"keras.applications.{spec}", "weights": weights, **sized.to_dict()}
    return Candidate(spec, recipe, build, origin)


def count_cost(candidate: Candidate, data: ImageDataset) -> Cost:
    """Builds a candidate once and counts.

    Args:
        candidate: what is built.
        data: its training images limit the batch.

    Returns:
        Parameters, operations and batch.
    """
    recipe = candidate.recipe
    model = candidate.build(recipe)
    return Cost(
        parameters=model.count_params(),
        flops_an_image=count_flops(model),
        batch_size=recipe.batch_of(data.split("train").num_examples),
        passes_a_step=PASSES_A_STEP * (2 if recipe.sharpness_radius else 1),
    )


def budget_of(candidate: Candidate, cost: Cost, data: ImageDataset) -> int:
    """Returns the operations that a candidate's own recipe spends.

    Args:
        candidate: its recipe says for how long.
        cost: from `count_cost`.
        data: its training images make an epoch.
    """
    return cost.flops_a_step * candidate.recipe.total_steps(data.split("train").num_examples)


def affordable_steps(budget: float, cost: Cost, name: str = "the model") -> int:
    """Returns the whole steps that a budget pays for.

    Args:
        budget: operations.
        cost: of the model.
        name: for the error.

    Raises:
        ValueError: it does not pay for one step.
    """
    steps = int(budget // cost.flops_a_step)
    if steps < 1:
        raise ValueError(
            f"Expected a budget of at least {cost.flops_a_step / 1e9:,.1f} GFLOP, one step of "
            f"{name}. Received: {budget / 1e9:,.1f}. Raise the budget or its smallest share, or "
            "take a smaller batch, image or model."
        )
    return steps
