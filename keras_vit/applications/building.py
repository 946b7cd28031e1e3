"""Builds a model from a config or an open checkpoint and the arguments that all builders share."""

from __future__ import annotations

from typing import Any

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.binding import BoundCheckpoint
from keras_vit.weights.conventions import preprocessing as conventional_preprocessing
from keras_vit.weights.load import assign


def _shape_fields(input_shape: Any, input_tensor: Any) -> dict[str, Any]:
    """Returns the config fields that an input shape sets."""
    if input_shape is None and input_tensor is not None:
        input_shape = tuple(input_tensor.shape[1:])
    if input_shape is None:
        return {}
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[2] is None or (shape[0] is None) != (shape[1] is None):
        raise ValueError(
            "Expected `input_shape` as (height, width, channels), or (None, None, channels) for "
            f"any size. Received: input_shape={input_shape!r}."
        )
    size = {"dynamic_image_size": True} if shape[0] is None else {"image_size": shape[:2]}
    return {**size, "in_channels": shape[2]}


def _class_fields(include_top: bool, pooling: str | None, classes: int | None) -> dict[str, Any]:
    """Returns the config fields that the arguments about the head set."""
    if not include_top:
        fields = {"num_classes": 0, "pre_logits_size": None, "projection_size": None}
        return {**fields, "pooling": "none" if pooling is None else pooling}
    fields = {} if pooling is None else {"pooling": pooling}
    if classes is None:
        return fields
    if not hasattr(classes, "__index__") or isinstance(classes, bool) or classes < 1:
        raise ValueError(
            "Expected `classes` to be an integer of at least 1, or None for the model's own head. "
            f"Received: classes={classes!r}. Use include_top=False for a model without a head."
        )
    return {**fields, "num_classes": int(classes)}


def configure(
    config: VisionTransformerConfig,
    *,
    include_top: bool = True,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int | None = None,
    overrides: dict[str, Any] | None = None,
) -> VisionTransformerConfig:
    """Applies the arguments that all factories share to a config.

    Args:
        config: the variant's or the checkpoint's own config.
        include_top: whether the head is part of the model.
        input_tensor: a Keras tensor of images to build on, or None.
        input_shape: (height, width, channels), (None, None, channels), or None.
        pooling: name of the pooling, or None.
        classes: number of classes, or None.
        overrides: fields of the config, or None.

    Returns:
        The config of the model to build, all of it checked.
    """
    return config.replace(
        **{
            **(overrides or {}),
            **_shape_fields(input_shape, input_tensor),
            **_class_fields(include_top, pooling, classes),
        }
    )


def build_model(
    config: VisionTransformerConfig,
    *,
    include_top: bool = True,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int | None = None,
    overrides: dict[str, Any] | None = None,
    preprocessing: Preprocessing | None = None,
    **model_arguments: Any,
) -> VisionTransformer:
    """Builds the model of a config, with initial values.

    Args:
        config: the variant's or the checkpoint's own config.
        include_top: as in `configure`, and so the next four.
        input_tensor: see there.
        input_shape: see there.
        pooling: see there.
        classes: see there.
        overrides: see there.
        preprocessing: how an image becomes the input, for any size; None is [-1, 1].
        **model_arguments: other arguments of `VisionTransformer`.

    Returns:
        The model; its preprocessing has the size of its images.
    """
    config = configure(
        config,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        overrides=overrides,
    )
    if preprocessing is not None and not config.dynamic_image_size:
        preprocessing = preprocessing.replace(size=config.image_size)
    return VisionTransformer(
        config, input_tensor=input_tensor, preprocessing=preprocessing, **model_arguments
    )


def stored_size_hint(
    hints: dict[str, Any], input_shape: Any, input_tensor: Any = None
) -> dict[str, Any]:
    """Adds the size of the images to what is told of a checkpoint, where it is known.

    Args:
        hints: fields of the config that the user gave; `image_size` among them stays.
        input_shape: (height, width, channels), (None, None, channels), or None.
        input_tensor: a Keras tensor of images, or None.
    """
    size = _shape_fields(input_shape, input_tensor).get("image_size")
    return hints if size is None else {"image_size": size, **hints}


def build_loaded_model(
    bound: BoundCheckpoint,
    stored: VisionTransformerConfig,
    preprocessing: Preprocessing | None = None,
    **arguments: Any,
) -> VisionTransformer:
    """Builds a model for a checkpoint and loads it.

    Args:
        bound: the open checkpoint.
        stored: its config, with the grid of its position embedding.
        preprocessing: how its images are prepared; None is what it says itself, else the
            convention of its layout.
        **arguments: those of `build_model`.

    Returns:
        The loaded model.

    Raises:
        ValueError: what does not fit, all of it in one error.
    """
    preprocessing = preprocessing or bound.preprocessing
    if preprocessing is None:
        preprocessing = conventional_preprocessing(bound, stored.image_size, stored.in_channels)
    model = build_model(stored, preprocessing=preprocessing, **arguments)
    assign(model, bound, position_grid=stored.grid_size, careful=False)
    return model
