"""Models of keras.applications as classifiers of a data set, to be trained beside ours."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_vit.checks import nearest_names
from keras_vit.images.spec import Preprocessing

SMALLEST_SIDE = 32  # most models of keras.applications refuse less
_WINDOW = 0.1  # share of the steps that the moving statistics of a batch norm look back on


def build_baseline(
    spec: str,
    num_classes: int,
    *,
    seed: int = 0,
    weights: str | None = None,
    preprocessing: Preprocessing | None = None,
) -> keras.Model:
    """Builds a model of keras.applications with a new linear head.

    The head reads the mean of the last feature map. Images are normalised as the family of the
    model asks for; models of the oldest families from scratch, which ask for swapped colours, get
    [-1, 1].

    Args:
        spec: a name such as `"ResNet152V2"`, with arguments after a colon where there are any:
            `"MobileNetV2:alpha=0.35"`, several with commas.
        num_classes: outputs.
        seed: of the initial weights; sets Keras's global seed.
        weights: None for initial values, `"imagenet"`, or a file of weights without top.
        preprocessing: its size, resampling and crop are taken; None is 32 px, the least.

    Returns:
        A functional model of RGB images whose output are logits `(batch, num_classes)`; its
        `preprocessing` says how an image becomes the input.

    Raises:
        ValueError: an unknown name (with the nearest ones) or argument, a size that the model
            refuses, or weights for swapped colours.
    """
    name, arguments = parse_baseline(spec)
    preprocessing = preprocessing or Preprocessing(size=SMALLEST_SIDE)
    mean, std = normalization(name, pretrained=weights is not None)
    preprocessing = preprocessing.replace(mean=mean, std=std)
    keras.utils.set_random_seed(seed)
    try:
        base = _application(name)(
            include_top=False,
            weights=weights,
            input_shape=(*preprocessing.size, 3),
            pooling="avg",
            **arguments,
        )
    except TypeError as error:
        raise ValueError(
            f"Expected arguments that {name} takes. Received: {spec!r}; {error}."
        ) from error
    logits = keras.layers.Dense(num_classes, name="head")(base.output)
    model = keras.Model(base.input, logits, name=name)
    model.preprocessing = preprocessing
    return model


def parse_baseline(spec: str) -> tuple[str, dict[str, Any]]:
    """Splits `"MobileNetV2:alpha=0.35"` into a name and its arguments.

    Args:
        spec: see `build_baseline`.

    Returns:
        The name and the arguments, `("MobileNetV2", {"alpha": 0.35})`.

    Raises:
        ValueError: an unknown name, or arguments that are not `name=value`.
    """
    name, _, text = spec.partition(":")
    _application(name)
    arguments = {}
    for part in filter(None, text.split(",")):
        key, found, value = part.partition("=")
        try:
            arguments[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found = ""
        if not found or key.strip() in ("include_top", "weights", "input_shape", "pooling"):
            raise ValueError(
                f"Expected arguments as name=value, such as 'MobileNetV2:alpha=0.35'. "
                f"Received: {spec!r}."
            )
    return name, arguments


def _application(name: str) -> Callable[..., keras.Model]:
    known = {key: value for key, value in vars(keras.applications).items() if key[:1].isupper()}
    if name not in known:
        raise ValueError(
            f"Expected a model of keras.applications. Received: {name!r}. "
            + nearest_names(name, known)
        )
    return known[name]


def normalization(name: str, *, pretrained: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Reads mean and std, as `Preprocessing` counts them, off the family's own preprocessing.

    Args:
        name: a model of keras.applications.
        pretrained: whether the model starts from published weights, for which it must be right.

    Returns:
        `mean` and `std`, an entry a channel, for values that were scaled to [0, 1].

    Raises:
        ValueError: pretrained weights of a family that swaps the colours.
    """
    families = [
        module
        for module in vars(keras.applications).values()
        if isinstance(module, types.ModuleType) and hasattr(module, name)
    ]
    pixels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype("float32")
    # Without swapped colours the answer is a straight line for each channel.
    black, *ends = np.asarray(families[0].preprocess_input(pixels.copy()), "float64")
    slopes = (np.stack(ends) - black) / 255
    if np.abs(slopes - np.diag(np.diagonal(slopes))).max() > 1e-4:
        if pretrained:
            raise ValueError(
                "Expected a model whose images are normalised channel by channel. Received: "
                f"weights for {name}, which swaps red and blue. Train it from scratch, or take its "
                "second version, such as ResNet152V2 for ResNet152."
            )
        return (0.5,) * 3, (0.5,) * 3
    std = 1 / (255 * np.diagonal(slopes))
    mean = -black * std
    return tuple(np.round(mean, 6).tolist()), tuple(np.round(std, 9).tolist())


def settle_statistics(model: keras.Model, steps: int) -> None:
    """Makes the moving statistics of batch norms keep up with a short training.

    With Keras's momentum of 0.99 they would still be part initial values after a hundred steps, and
    the model would fail for that alone. Here they look back on a tenth of the steps, or on as many
    as before where that is fewer.

    Args:
        model: changed in place, before it is compiled.
        steps: optimizer steps of the training.
    """
    longest = 1 - 1 / max(1.0, _WINDOW * steps)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            settle_statistics(layer, steps)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, longest)
