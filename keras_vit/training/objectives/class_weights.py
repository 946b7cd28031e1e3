"""How much the classes of an unbalanced data set count in the loss.

A weight is `n / (k n_c)` for a class that `n_c` of `n` images have, of `k` classes: scikit-learn's
`compute_class_weight("balanced")`. The weights have a mean of 1 over the training images, and the
loss of a batch stays the sum over its images divided by their number, not by the sum of their
weights. So what an image adds to the gradient does not depend on what else is in its batch, and the
weighted loss is shared among replicas, workers and parts of a batch as any other. A mixed label
counts by the same mixture of weights.
"""

import keras
import numpy as np
from keras import ops


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the weight of each class, `(num_classes,)`.

    Args:
        labels: `(examples,)` integers.
        num_classes: number of classes; one without an image has the weight 1.
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = np.count_nonzero(counts)
    return np.where(counts, len(labels) / (present * np.maximum(counts, 1)), 1.0)


def balanced_label_weights(labels: np.ndarray) -> np.ndarray:
    """Returns how much an absent and a present label count, `(2, labels)`.

    Args:
        labels: `(examples, labels)`, 0 and 1; each label by itself makes two classes.
    """
    columns = np.asarray(labels).astype(int).T
    return np.stack([balanced_weights(column, 2) for column in columns], axis=1)


class WeightedLoss(keras.losses.Loss):
    """A loss of which each image counts by its class.

    Args:
        loss: its `call` gives a number an image.
        weights: `(num_classes,)`.
    """

    def __init__(self, loss: keras.losses.Loss, weights: np.ndarray):
        super().__init__(name="weighted", dtype="float32")
        self.loss, self.weights = loss, np.asarray(weights, "float32")

    def call(self, y_true, y_pred):
        return self.loss.call(y_true, y_pred) * ops.sum(y_true * self.weights, axis=-1)
