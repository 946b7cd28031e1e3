"""The model that is to leave Python, from whatever file it is in."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from keras_vit.configs import VisionTransformerConfig


def load_model(source: str | os.PathLike) -> Any:
    """Loads a model from a `.keras` file as it was saved, or builds it from a checkpoint.

    Args:
        source: a `.keras` file, or what `keras_vit.from_checkpoint` takes: `.npz`,
            `.safetensors`, an address such as `"hf://owner/repo"`.

    Returns:
        A `keras_vit.VisionTransformer`.

    Raises:
        ValueError: no such file, a broken one, or another kind of model.
    """
    import keras

    source = os.fspath(source)
    if not source.endswith(".keras"):
        from keras_vit.checkpoint_models import from_checkpoint

        return from_checkpoint(source)
    if not pathlib.Path(source).is_file():
        raise ValueError(f"Expected the `.keras` file of a model. Received: {source!r}.")
    try:
        model = keras.saving.load_model(source, compile=False)
    except Exception as error:  # Keras raises many kinds for a broken file
        raise ValueError(
            f"Expected the `.keras` file of a model. Received: {source!r}, which cannot be "
            f"loaded: {error}"
        ) from error
    if not isinstance(getattr(model, "config", None), VisionTransformerConfig):
        raise ValueError(
            "Expected the file of a keras_vit.VisionTransformer. "
            f"Received: {source!r}, which holds a {type(model).__name__}."
        )
    return model


def in_float32(model: Any) -> Any:
    """Returns the model, or the same weights in a model that computes in float32.

    Args:
        model: a `keras_vit.VisionTransformer` of any policy.

    Raises:
        ValueError: a model of low precision with layers of its own before the patches.
    """
    if {layer.compute_dtype for layer in model.layers} <= {"float32"}:
        return model
    config = model.get_config()
    config["dtype"] = "float32"
    if "lead" in config:
        raise ValueError(
            "Expected a float32 model, or one without layers of its own before the patches. "
            f"Received: {model.name!r} of policy {model.dtype_policy.name!r}."
        )
    from keras_vit.vision_transformer import VisionTransformer

    copy = VisionTransformer(
        model.config,
        classifier_activation=model.classifier_activation,
        preprocessing=model.preprocessing,
        name=model.name,
        dtype="float32",
    )
    copy.set_weights(model.get_weights())
    return copy
