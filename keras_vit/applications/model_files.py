"""A trained model and the names of its classes, from whatever files they are in."""

import os
import pathlib
from typing import Any

from keras_vit.images.labels import labels_beside, read_labels
from keras_vit.models.config import config_of
from keras_vit.weights.files.suffixes import is_keras_model


def load_model(source: str | os.PathLike, image_size: int | tuple[int, int] | None = None) -> Any:
    """Loads a model from a `.keras` file as it was saved, or builds it from a checkpoint.

    Args:
        source: a `.keras` file, or what `keras_vit.from_checkpoint` takes: `.npz`,
            `.safetensors`, an address such as `"hf://owner/repo"`; a decoder in it is left out.
        image_size: pixels, (height, width) or both as one; position embeddings are resized to it.
            None is the size that the model was saved with.

    Returns:
        A `keras_vit.VisionTransformer`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken one, another kind of model, or a size that it cannot take.
    """
    source = os.fspath(source)
    if not is_keras_model(source):
        from keras_vit.applications.checkpoint import from_checkpoint

        size = {"image_size": image_size} if image_size else {}
        return from_checkpoint(source, decoder=False, **size)
    from keras_vit.weights.files.keras_archive import load_archive

    model = load_archive(source)
    try:
        config_of(model)
    except ValueError as error:
        raise ValueError(
            "Expected the file of a keras_vit.VisionTransformer. "
            f"Received: {source!r}, which holds a {type(model).__name__}."
        ) from error
    return model if image_size is None else _at_image_size(model, source, image_size)


def _at_image_size(model: Any, source: str, image_size: int | tuple[int, int]) -> Any:
    from keras_vit.weights.load import load_weights

    config = model.config.replace(image_size=image_size)
    if config == model.config:
        return model
    values = model.get_config()
    if "lead" in values:
        raise ValueError(
            "Expected no `image_size` for a model with layers of its own before the patches. "
            f"Received: image_size={image_size} and {source!r}."
        )
    values["config"] = config.to_dict()
    values["preprocessing"] = model.preprocessing.replace(size=config.image_size).to_dict()
    resized = type(model).from_config(values)
    load_weights(resized, source)
    return resized


def in_float32(model: Any) -> Any:
    """Returns the model, one of ours or with one inside, or its weights in one of float32."""
    import keras

    from keras_vit.models.vision_transformer import VisionTransformer

    if {layer.compute_dtype for layer in model.layers} <= {"float32"}:
        return model

    def convert(layer):
        if isinstance(layer, keras.Model):
            return in_float32(layer)
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    if isinstance(model, VisionTransformer):
        config = model.get_config() | {"dtype": "float32"}
        if "lead" in config:
            lead = in_float32(model.parts.ways["images"])
            config["lead"] = keras.saving.serialize_keras_object(lead)
        copy = VisionTransformer.from_config(config)
    else:
        copy = keras.models.clone_model(model, clone_function=convert)
    copy.set_weights(model.get_weights())
    return copy


def load_labels(
    model: Any, source: str | os.PathLike, labels_file: str | os.PathLike | None = None
) -> list[str] | None:
    """Finds the names of a model's classes.

    Args:
        model: gives their number.
        source: the file it came from; training leaves the names beside it.
        labels_file: a text file with a name on each line, or a JSON file; None looks beside
            `source`.

    Returns:
        A name for each class, or None when there is no file.

    Raises:
        ValueError: another number of names than the model has classes.
    """
    classes = model.config.num_classes
    if labels_file:
        return read_labels(labels_file, classes)
    path = pathlib.Path(os.fspath(source))
    beside = [path, path.parent]  # a checkpoint of a run lies one folder below its summary
    return next((found for each in beside if (found := labels_beside(each, classes))), None)


def display_name(model: Any, source: str | os.PathLike) -> str:
    """Names a model for its reader.

    Returns:
        What the model was called when it was saved as `.keras`; of a checkpoint the owner and name
        of its repository, or the name of its file, or of the folder where all files have that name.
    """
    source = os.fspath(source)
    if is_keras_model(source):
        return model.name
    if source.startswith("hf://"):
        return source.removeprefix("hf://")
    path = pathlib.Path(source)
    if path.stem not in ("model", "pytorch_model", "best"):
        return path.stem
    folder = path.resolve().parent
    return folder.parent.name if folder.name == "checkpoints" else folder.name
