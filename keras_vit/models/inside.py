"""A Vision Transformer inside another model, such as a user's own head on one of ours."""

from typing import Any

from keras_vit.images.carrier import find_carrier
from keras_vit.models.vision_transformer import VisionTransformer


def find_vision_transformer(model: Any) -> VisionTransformer:
    """Returns the Vision Transformer that a model is or has inside, at any depth.

    Args:
        model: a `keras_vit.VisionTransformer`, or a Keras model with one as a layer.

    Raises:
        ValueError: there is none, or there are several; the error says which layer to pass.
    """
    found = find_carrier(model)[-1]
    if not isinstance(found, VisionTransformer):
        raise ValueError(
            "Expected a keras_vit.VisionTransformer, or a model with one inside. "
            f"Received: {model!r}."
        )
    return found
