"""Each image has any of several labels, or one label or not, and the model learns which."""

import keras
from keras import ops

from keras_vit.data.dataset import ImageDataset
from keras_vit.training.objectives.class_weights import balanced_label_weights
from keras_vit.training.objectives.classification import Classification
from keras_vit.training.objectives.objective import Figure
from keras_vit.training.recipes import Recipe


class Labels(Classification):
    """Teaches a model which labels an image has: any of several, or one or not.

    The loss is the mean over the labels of a binary cross-entropy on logits, whatever the recipe's
    `loss`. The ROC AUC is Keras's, by 200 thresholds, a mean over the labels; those of
    `keras_vit.evaluation` are exact.
    """

    figures = (
        Figure("loss", "binary cross-entropy (nats)"),
        Figure("auc", "ROC AUC (%)", scale=100, higher_is_better=True),
    )

    def check(self, recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
        """Refuses a model with another number of labels, or one whose outputs are classes."""
        if data.task not in ("labels", "binary"):
            raise ValueError(
                f"Expected a data set of labels, each 0 or 1. Received: {data.describe()}."
            )
        self._check_width(model, data)
        known = getattr(model, "output_meaning", None)  # of a model of ours
        if known == "probabilities" and data.num_classes > 1:
            known = keras.activations.serialize(model.classifier_activation)
        if known in ("softmax", "values"):
            raise ValueError(
                'Expected a model built with classifier_activation="sigmoid", as an image has any '
                f"of the labels of {data.name!r}. Received: {model.name!r}, whose outputs are of "
                f"{'one class an image' if known == 'softmax' else 'a regression'}."
            )

    def loss(self, recipe: Recipe, data: ImageDataset) -> keras.losses.Loss:
        """Returns the binary cross-entropy, each label weighted as the recipe says."""
        weights = None
        if recipe.class_weights:
            weights = balanced_label_weights(data.split("train").labels())
        return LabelsLoss(recipe.label_smoothing, weights)

    def metrics(self, data: ImageDataset) -> list[keras.metrics.Metric]:
        """Returns the area under the ROC curve."""
        several = {"multi_label": True, "num_labels": data.num_classes}
        return [keras.metrics.AUC(from_logits=True, **several, name="auc")]


class LabelsLoss(keras.losses.Loss):
    """The mean over the labels of an image of a binary cross-entropy on logits.

    Args:
        label_smoothing: share of every label spread over yes and no.
        weights: `(2, labels)`: how much an absent and a present label count; None for alike.

    `y_true` is `(batch, labels)`, 0 and 1 or mixed; `y_pred` the logits.
    """

    def __init__(self, label_smoothing: float = 0.0, weights=None):
        super().__init__(name="labels", dtype="float32")
        self.label_smoothing, self.weights = label_smoothing, weights

    def call(self, y_true, y_pred):
        smooth = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        each = ops.binary_crossentropy(smooth, y_pred, from_logits=True)
        if self.weights is not None:
            absent, present = (ops.cast(row, each.dtype) for row in self.weights)
            each = each * ((1 - y_true) * absent + y_true * present)
        return ops.mean(each, axis=-1)
