"""What every objective of training says of itself, and nothing else of a run has to know."""

import abc
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.dataset import ImageDataset
from keras_vit.data.targets import Targets
from keras_vit.fitting import TrainableModel
from keras_vit.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that a run measures.

    Attributes:
        name: as in `history.jsonl`, such as `"accuracy"`.
        label: of its axis, with the unit.
        scale: what the number is multiplied by on that axis.
        higher_is_better: whether the best epoch is the one with the highest.
    """

    name: str
    label: str
    scale: float = 1.0
    higher_is_better: bool = False


class Objective(abc.ABC):
    """What a run teaches a model: what goes in, what comes out, and how it is measured.

    Its methods are given the recipe and the data of the run, and the model that is to be trained.

    Attributes:
        figures: what a run measures, the loss first; by the last one the best epoch is found.
        shows_outputs: whether there are `output_pictures`.
        needs_labels: whether each image needs a label.
        weighs_classes: whether `loss` heeds the recipe's `class_weights`.
    """

    figures: tuple[Figure, ...]
    shows_outputs = False
    needs_labels = True
    weighs_classes = False

    @property
    def best_by(self) -> Figure:
        """The figure whose best epoch is kept."""
        return self.figures[-1]

    @abc.abstractmethod
    def check(self, recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
        """Refuses a recipe, a model or a data set that do not fit.

        Raises:
            ValueError: what does not fit, and what to do.
        """

    @abc.abstractmethod
    def targets(self, model: keras.Model, data: ImageDataset) -> Targets:
        """Returns what makes a training example of an image and its label."""

    @abc.abstractmethod
    def network(self, model: keras.Model) -> TrainableModel:
        """Returns the network that is trained, on the layers of the model, not compiled.

        It reads what `targets` makes and gives what `loss` reads.
        """

    @abc.abstractmethod
    def loss(self, recipe: Recipe, data: ImageDataset) -> keras.losses.Loss:
        """Returns what is made smaller."""

    def metrics(self, data: ImageDataset) -> list[keras.metrics.Metric]:
        """Returns what is measured beside the loss: the `figures` behind the first."""
        return []

    def input_pictures(self, batch: Any) -> dict[str, np.ndarray]:
        """Returns the images of a training batch, to be drawn once.

        Args:
            batch: as `targets` makes it.

        Returns:
            By name, float `(batch, height, width, channels)` as the model gets them.
        """
        return {"augmented": np.asarray(keras.tree.flatten(batch)[0])}

    def output_pictures(self, network: keras.Model, batch: Any) -> dict[str, np.ndarray]:
        """Returns what the network makes of images, as `input_pictures`, drawn after each epoch."""
        raise NotImplementedError

    def save(self, network: keras.Model, folder: Path) -> dict[str, Path]:
        """Writes what the finished run leaves besides the model; returns the files by name."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Returns what tells two objectives apart, as plain JSON values."""
        return {"name": type(self).__name__}
