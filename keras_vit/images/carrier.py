"""The model that carries a preparation of images, itself or inside another one.

What stands before it in the other model takes part in the preparation.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.fitting.keras_internals import tensors_around
from keras_vit.images.spec import Preprocessing


def find_carrier(model: Any) -> list[Any]:
    """Finds the one model that carries a `Preprocessing`: the model itself, or one inside it.

    Args:
        model: a Keras model, or anything that has a `preprocessing`.

    Returns:
        The models from `model` to the one that carries it, each a layer of the one before.

    Raises:
        ValueError: none does, or several do; the error says what to pass or how to build.
    """
    found = _paths(model)
    if len(found) == 1:
        return found[0]
    if found:
        layers = " or ".join(f"`{_getter(path)}`" for path in found)
        raise ValueError(
            f"Expected a model with one Vision Transformer inside. Received: {model!r} with "
            f"{len(found)} of them. Pass {layers}."
        )
    raise ValueError(
        "Expected a keras_vit.VisionTransformer, or a model with one inside. "
        f"Received: {model!r}.{layers_alone(model)}"
    )


def layers_alone(model: Any) -> str:
    """Returns what to do with a model that has the layers of one of ours alone, else nothing."""
    if not any(type(layer).__module__.startswith("keras_vit.") for layer in _layers(model)):
        return ""
    return (
        " It has the layers of one, but not the model itself: build it on `backbone(images)`, not "
        "on `backbone.output`."
    )


def _layers(model: Any) -> list[Any]:
    return list(getattr(model, "layers", ()))


def _paths(model: Any) -> list[list[Any]]:
    if isinstance(getattr(model, "preprocessing", None), Preprocessing):
        return [[model]]
    found = {id(path[-1]): path for layer in _layers(model) for path in _paths(layer)}
    return [[model, *path] for path in found.values()]


def _getter(path: list[Any]) -> str:
    return "model" + "".join(f".get_layer({layer.name!r})" for layer in path[1:])


def carried(path: list[Any]) -> Preprocessing:
    """Says how an image becomes the input of the first model of what `find_carrier` returned."""
    preprocessing = path[-1].preprocessing
    for outer, inner in reversed(list(zip(path, path[1:], strict=False))):
        around = tensors_around(outer, inner)
        if around is not None and around[0] is not outer.inputs[0] and len(outer.inputs) == 1:
            preprocessing = before(keras.Model(outer.inputs[0], around[0]), preprocessing)
    return preprocessing


def before(lead: keras.Model, preprocessing: Preprocessing) -> Preprocessing:
    """Says how an image becomes the input of layers that stand before prepared images.

    Pictures of one colour are sent through the layers. Where prepared ones come out as they were,
    nothing changes; otherwise the layers prepare images themselves and read pixels, of 0 to 1 where
    just these become prepared ones, else of 0 to 255.

    Args:
        lead: from the input `(batch, height, width, channels)` to the prepared images.
        preprocessing: how an image becomes what leaves the layers.

    Returns:
        The preparation for the input; its size is that of the input where this is fixed.
    """
    if len(lead.inputs) != 1 or len(lead.inputs[0].shape) != 4:
        return preprocessing
    *sides, channels = lead.inputs[0].shape[1:]
    size = [side or known for side, known in zip(sides, preprocessing.size, strict=True)]
    levels = np.linspace(0, 255, 3)[:, None] * np.linspace(1, 0.5, channels)
    plain = {"mean": (0.0,) * channels}
    whole = preprocessing.replace(size=size)
    unit = preprocessing.replace(size=size, **plain, std=(1.0,) * channels)
    pixels = preprocessing.replace(size=size, **plain, std=(1 / 255,) * channels)
    if channels != len(preprocessing.mean):
        return pixels
    prepared = _apply(whole, levels)
    for candidate in (whole, unit):
        colours = _apply(candidate, levels)[:, None, None]
        images = np.broadcast_to(colours, (len(levels), *size, channels)).astype("float32")
        result = ops.convert_to_numpy(ops.cast(lead(images, training=False), "float32"))
        # Layers of low precision round.
        if np.allclose(result, prepared[:, None, None], rtol=0.02, atol=0.02):
            return candidate
    return pixels


def _apply(preprocessing: Preprocessing, levels: np.ndarray) -> np.ndarray:
    return (levels / 255 - preprocessing.mean) / preprocessing.std
