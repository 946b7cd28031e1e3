"""The model to evaluate: one of ours, or any that `train` has written."""

import os
from pathlib import Path

import keras

from keras_vit.applications.model_files import load_model
from keras_vit.files import read_json
from keras_vit.images.spec import Preprocessing
from keras_vit.weights.files.keras_archive import load_archive
from keras_vit.weights.files.suffixes import is_keras_model

SUMMARY = "summary.json"


def load_classifier(
    source: str | os.PathLike, image_size: int | tuple[int, int] | None = None
) -> keras.Model:
    """Loads a model with its `preprocessing`.

    Args:
        source: what `keras_vit.applications.model_files.load_model` takes; or the `.keras` file
            of any other functional model beside a `summary.json` with its `preprocessing`, as
            training leaves it.
        image_size: pixels, as for `load_model`; a model that is not ours has its own.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken one, or one of another kind of model whose preprocessing is not known.
    """
    try:
        return load_model(source, image_size)
    except ValueError as error:
        path = Path(os.fspath(source))
        summary = path.with_name(SUMMARY)
        if image_size or not is_keras_model(path) or not path.is_file() or not summary.is_file():
            raise
        values = read_json(summary).get("preprocessing")
        if values is None:
            raise ValueError(
                f"Expected `preprocessing` in {str(summary)!r}, which says how an image becomes "
                f"the input. Received none. {error}"
            ) from error
        model = load_archive(path)
    model.preprocessing = Preprocessing.from_dict(values)
    return model


def count_classes(model: keras.Model) -> int | None:
    """Returns the classes that a model tells apart, or None for one without a head.

    Of a model that is not ours the width of its output counts.
    """
    config = getattr(model, "config", None)
    return model.output_shape[-1] if config is None else config.num_classes or None
