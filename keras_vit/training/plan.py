"""The numbers of a run, which follow from the recipe and the size of the training split."""

from __future__ import annotations

import dataclasses
import math

from keras_vit.data.dataset import ImageDataset
from keras_vit.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many images a step, steps an epoch and steps in all.

    Attributes:
        batch_size: images a step.
        steps_an_epoch: of a whole epoch; the last one may be shorter.
        total_steps: optimizer steps of the run, at least 1.
        start_step: steps done in earlier processes.
    """

    batch_size: int
    steps_an_epoch: int
    total_steps: int
    start_step: int = 0

    @classmethod
    def of(cls, recipe: Recipe, data: ImageDataset) -> Plan:
        """Makes the plan of a recipe for a data set."""
        images = data.split("train").num_examples
        total_steps = recipe.total_steps(images)
        steps_an_epoch = min(total_steps, recipe.steps_an_epoch(images))
        return cls(recipe.batch_of(images), steps_an_epoch, total_steps)

    @property
    def epochs(self) -> int:
        """Epochs of the run, a last short one included."""
        return math.ceil(self.total_steps / self.steps_an_epoch)
