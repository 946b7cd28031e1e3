"""The map that leads: what is shown of a model first, by name.

The order is that of `docs/explanations.md`, where maps are compared on scenes whose objects are
known.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vit.checks import check_choice
from keras_vit.interpret.attention_measures import attention_rollout, head_attention
from keras_vit.interpret.dense_features import feature_foreground
from keras_vit.interpret.relevance import class_relevance
from keras_vit.models.config import config_of


@dataclasses.dataclass(frozen=True)
class Saliency:
    """A way to say where the thing is.

    Attributes:
        title: above a picture.
        meaning: how to read it, a sentence.
        measure: (model, images, batch_size=...) -> (batch, grid rows, grid columns).
        needs_classes: whether it asks for one of the model's classes.
    """

    title: str
    meaning: str
    measure: Callable[..., np.ndarray]
    needs_classes: bool = False


def _late_rollout(model: Any, images: Any, **options: Any) -> np.ndarray:
    first = min(1, model.config.num_layers - 1)
    return attention_rollout(model, images, first_block=first, **options)


def _look(model: Any, images: Any, *, batch_size: int) -> np.ndarray:
    return head_attention(model, images, batch_size=batch_size).mean(axis=1)


SALIENCIES = {
    "late_rollout": Saliency(
        "Rollout without the first block",
        "what reaches the answer through the attention of all blocks but the first (arXiv "
        "2005.00928)",
        _late_rollout,
    ),
    "relevance": Saliency(
        "Relevance for the class",
        "what of it speaks for the class (arXiv 2103.15679)",
        class_relevance,
        needs_classes=True,
    ),
    "rollout": Saliency(
        "Attention rollout",
        "what reaches the answer through the attention of all blocks (arXiv 2005.00928)",
        attention_rollout,
    ),
    "foreground": Saliency(
        "Foreground",
        "the first principal component of the last features (arXiv 2304.07193)",
        feature_foreground,
    ),
    "attention": Saliency(
        "Attention of the last block",
        "what the last block looks at, mean over its heads",
        _look,
    ),
}
"""By their mean pointing, best first."""


def saliencies(model: Any) -> dict[str, Saliency]:
    """Returns the maps that a model allows, the one that leads first."""
    has_classes = bool(config_of(model).num_classes)
    return {name: way for name, way in SALIENCIES.items() if has_classes or not way.needs_classes}


def saliency(
    model: Any, images: Any, method: str | None = None, *, batch_size: int = 8
) -> np.ndarray:
    """Shows where the thing is that a model sees.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        method: `"late_rollout"` without the first block, `"relevance"` for the predicted class,
            `"rollout"`, `"foreground"` of all images together, or `"attention"` of the last block;
            None is the first of these.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns) float32, any range.

    Raises:
        ValueError: another kind of model, images that it does not take, or a method that it does
            not allow.
    """
    allowed = saliencies(model)
    method = next(iter(allowed)) if method is None else method
    check_choice("method", method, tuple(allowed))
    return allowed[method].measure(model, images, batch_size=batch_size)
