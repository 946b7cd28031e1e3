"""Each image has one class, and the model learns to name it."""

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.data.targets import OneHot
from keras_vit.fitting import TrainableModel
from keras_vit.training.objectives.class_weights import WeightedLoss, balanced_weights
from keras_vit.training.objectives.objective import Figure, Objective
from keras_vit.training.recipes import Recipe

_LOSSES = {
    "softmax": keras.losses.CategoricalCrossentropy,
    "sigmoid": keras.losses.BinaryCrossentropy,
}


class Classification(Objective):
    """Teaches a model to name the class of an image.

    The loss is a cross-entropy on logits, which is exact: the model's `logits` if it has that
    attribute, as a `keras_vit.VisionTransformer` has, else its output.
    """

    figures = (
        Figure("loss", "cross-entropy (nats)"),
        Figure("accuracy", "accuracy (%)", scale=100, higher_is_better=True),
    )
    weighs_classes = True

    def check(self, recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
        """Refuses a model with another number of classes than the data set, and other labels."""
        if data.task != "classes":
            raise ValueError(
                f"Expected a data set of one class an image. Received: {data.describe()}. Use "
                f"objective=None, or one for {data.task}."
            )
        self._check_width(model, data)

    def _check_width(self, model: keras.Model, data: ImageDataset) -> None:
        classes = logits_of(model).shape[-1]
        if classes != data.num_classes:
            raise ValueError(
                f"Expected a model with {data.num_classes} classes, as {data.name!r} has. "
                f"Received: num_classes={classes}. Build it with classes={data.num_classes}."
            )

    def targets(self, model: keras.Model, data: ImageDataset) -> OneHot:
        """Returns what makes a one-hot label."""
        return OneHot(data.num_classes)

    def network(self, model: keras.Model) -> TrainableModel:
        """Returns the model up to its logits, in float32."""
        logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits_of(model))
        inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
        return TrainableModel(inputs, logits, name="trainer")

    def loss(self, recipe: Recipe, data: ImageDataset) -> keras.losses.Loss:
        """Returns the cross-entropy that the recipe names, its classes weighted as it says."""
        loss = _LOSSES[recipe.loss](from_logits=True, label_smoothing=recipe.label_smoothing)
        if recipe.class_weights is None:
            return loss
        labels = data.split("train").labels()
        return WeightedLoss(loss, balanced_weights(labels, data.num_classes))

    def metrics(self, data: ImageDataset) -> list[keras.metrics.Metric]:
        """Returns the accuracy: the share of images whose highest logit is that of their class."""
        return [keras.metrics.CategoricalAccuracy(name="accuracy")]


def logits_of(model: keras.Model) -> keras.KerasTensor:
    """Returns the `logits` of a model, if it has that attribute, else its output."""
    logits = getattr(model, "logits", None)
    return model.outputs[0] if logits is None else logits
