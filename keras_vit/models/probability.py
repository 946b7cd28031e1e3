"""What the outputs of a classifier mean as probabilities: the one definition."""

from typing import Any

import keras
from keras import ops

from keras_vit.checks import check_choice

MEANINGS = ("probabilities", "softmax", "sigmoid")
_ACTIVATING = ("Softmax", "Sigmoid")


def probabilities(outputs: Any, meaning: str) -> Any:
    """Turns the outputs of a classifier into probabilities.

    Args:
        outputs: `(batch, classes)`, an array or a tensor of any backend and precision.
        meaning: `"probabilities"` for outputs that are such already, `"softmax"` for logits of
            classes of which an image has exactly one, `"sigmoid"` for logits of classes of which it
            may have several or none. A single logit is a sigmoid in either case, since its softmax
            is 1 for every image.

    Returns:
        `(batch, classes)` in float32 at least, each in [0, 1]. Rows sum to 1 with `"softmax"`. With
        one class the one column is the probability of that class; what the image shows otherwise
        has no column.
    """
    check_choice("meaning", meaning, MEANINGS)
    outputs = ops.convert_to_tensor(outputs)
    outputs = ops.cast(outputs, keras.backend.result_type(outputs.dtype, "float32"))
    if meaning == "probabilities":
        return outputs
    if meaning == "sigmoid" or outputs.shape[-1] == 1:
        return ops.sigmoid(outputs)
    return ops.softmax(outputs)


def output_meaning(model: keras.Model) -> str:
    """Says what the outputs of a classifier mean, as `probabilities` takes it.

    Args:
        model: a `keras_vit.VisionTransformer`, which knows; of any other functional or sequential
            model the activation of the last layer, or of the model that is its last layer. Without
            one the outputs are logits of classes of which an image has exactly one.

    Returns:
        One of `MEANINGS`; or `"values"` of a regression, which are no probabilities.
    """
    known = getattr(model, "output_meaning", None)
    if known is not None:
        return known
    chain = getattr(model, "operations", None) or model.layers
    # What only casts, at the end of models of mixed precision, says nothing.
    telling = (last for last in reversed(chain) if type(last) is not keras.layers.Activation
               or last.activation is not keras.activations.linear)  # fmt: skip
    last = next(telling, None)
    if isinstance(last, keras.Model):
        return output_meaning(last)
    activation = getattr(last, "activation", None)
    # The operations of `keras.ops` have the names of the layers.
    activates = activation not in (None, keras.activations.linear)
    return "probabilities" if activates or type(last).__name__ in _ACTIVATING else "softmax"
