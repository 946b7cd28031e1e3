"""Two heads, one for the class token and one for the distillation token."""

import keras
from keras import ops

from keras_vit.layers.inner_state import CompositeLayer


@keras.saving.register_keras_serializable(package="keras_vit")
class DistilledHead(CompositeLayer):
    """Classifies both halves of its input and returns the mean of the two sets of logits.

    Args:
        classes: number of classes.

    Input: `(batch, 2 * hidden_size)`, class token first. Output: `(batch, classes)`.

    Reference: "Training data-efficient image transformers" (arXiv 2012.12877), section 4.
    """

    def __init__(self, classes: int, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.token, self.distillation = (
            keras.layers.Dense(
                classes, kernel_initializer="zeros", dtype=self.dtype_policy, name=name
            )
            for name in ("token", "distillation")
        )

    def build(self, input_shape):
        self.token.build((None, input_shape[-1] // 2))
        self.distillation.build((None, input_shape[-1] // 2))
        self.finish_build()

    def call(self, features):
        token, distillation = ops.split(features, 2, axis=-1)
        return (self.token(token) + self.distillation(distillation)) / 2

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)
