"""Which arrays of a file make which variables: the layout whose names fit best."""

from keras_vit.weights.files.arrays import ArrayFile
from keras_vit.weights.layouts import LAYOUTS, BoundCheckpoint
from keras_vit.weights.layouts.features import foreign_model, stored_features
from keras_vit.weights.layouts.transformers import foreign_model_type


def bind(file: ArrayFile) -> BoundCheckpoint:
    """Finds the layout of a file by its names, and what each of its arrays makes.

    Raises:
        ValueError: no layout fits; the error shows some names.
    """
    candidates = [bound for layout in LAYOUTS if (bound := layout.bind(file)) is not None]
    if not candidates:
        names = sorted(file.specs)
        features = foreign_model_type(file) or stored_features(names)
        if features:
            raise foreign_model(file.path, features)
        raise ValueError(
            f"Expected the names of a Vision Transformer in {file.path!r}: as google-research, "
            "big_vision, timm or Hugging Face write them. Received: "
            f"{len(names)} arrays such as {names[:6]}."
        )
    return min(candidates, key=lambda bound: len(bound.unexpected + bound.misfits))
