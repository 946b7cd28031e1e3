"""Each image has values, and the model learns to tell them."""

import keras
import numpy as np
from keras import ops

from keras_vit.data.dataset import ImageDataset
from keras_vit.fitting import TrainableModel
from keras_vit.models.probability import output_meaning
from keras_vit.training.objectives.classification import Classification
from keras_vit.training.objectives.objective import Figure
from keras_vit.training.recipes import Recipe


class Regression(Classification):
    """Teaches a model to tell the values of an image.

    The loss is the squared error in units of the variance of each value over the training images:
    1 for a model that knows their means alone. The model itself gives values as the labels have
    them (`config.values`).
    """

    figures = (
        Figure("loss", "squared error (variances)"),
        Figure("mae", "mean absolute error"),
    )
    weighs_classes = False

    def check(self, recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
        """Refuses a model with another number of outputs, or one whose outputs are classes."""
        if data.task != "regression":
            raise ValueError(f"Expected a data set of values. Received: {data.describe()}.")
        width = model.outputs[0].shape[-1]
        if width != data.num_classes:
            raise ValueError(
                f"Expected a model with {data.num_classes} outputs, one for each value of "
                f"{data.name!r}. Received: {width}. Build it with classes={data.num_classes}."
            )
        if getattr(model, "config", None) is not None and output_meaning(model) != "values":
            raise ValueError(
                "Expected a model built with values=[(mean, deviation), ...], as the values of "
                f"{data.name!r} are (`keras_vit.training.build_model` does). Received: "
                f"{model.name!r} of classes."
            )

    def network(self, model: keras.Model) -> TrainableModel:
        """Returns the model, in float32."""
        values = keras.layers.Activation("linear", dtype="float32", name="values")(model.outputs[0])
        inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
        return TrainableModel(inputs, values, name="trainer")

    def loss(self, recipe: Recipe, data: ImageDataset) -> keras.losses.Loss:
        """Returns the squared error in variances."""
        _, deviations = zip(*spread_of(data), strict=True)
        return SquaredError(deviations)

    def metrics(self, data: ImageDataset) -> list[keras.metrics.Metric]:
        """Returns the mean absolute error, in the units of the labels."""
        return [keras.metrics.MeanAbsoluteError(name="mae")]


class SquaredError(keras.losses.Loss):
    """The mean over the values of an image of the squared error, in variances.

    Args:
        deviations: the unit of each value.
    """

    def __init__(self, deviations):
        super().__init__(name="squared_error", dtype="float32")
        self.deviations = np.asarray(deviations, "float32")

    def call(self, y_true, y_pred):
        return ops.mean(ops.square((y_pred - y_true) / self.deviations), axis=-1)


def spread_of(data: ImageDataset) -> tuple[tuple[float, float], ...]:
    """Returns mean and standard deviation of each value over the training images.

    Raises:
        ValueError: a value that is the same for all of them.
    """
    labels = data.split("train").labels().astype("float64")
    means, deviations = labels.mean(axis=0), labels.std(axis=0)
    same = [name for name, each in zip(data.class_names, deviations, strict=True) if each == 0]
    if same:
        raise ValueError(
            f"Expected values that differ from image to image in {data.name!r}. Received the same "
            f"for all training images: {', '.join(same)}."
        )
    return tuple(zip(means.tolist(), deviations.tolist(), strict=True))
