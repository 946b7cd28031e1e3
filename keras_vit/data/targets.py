"""From an image and its label to what a training step gets: one-hot labels, for example."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

# From an image as the model gets it, the label as the source has it and a seed `(2,)` of this
# image, 16 of which follow it free, to `(x, y)` or `(x, y, sample_weight)`.
Targets = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple]


@dataclasses.dataclass(frozen=True)
class OneHot:
    """Makes image and one-hot label, float32 `(num_classes,)`, of an image and its class.

    A label that is a vector already stays as it is: labels of 0 and 1, values, or a mixed one. A
    whole batch is taken too.

    Attributes:
        num_classes: width of the label.
    """

    num_classes: int

    def __call__(
        self, image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if (label.shape.rank or 0) > image.shape.rank - 3:
            return image, label
        return image, tf.one_hot(label, self.num_classes)
