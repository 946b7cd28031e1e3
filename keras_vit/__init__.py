"""Vision Transformers for Keras: models, pretrained weights, training, inspection and export.

The names below are the public ones; a room that needs slow libraries is imported when it is first
used.
"""

import importlib
import sys
from typing import Any

from keras_vit.checks import import_keras
from keras_vit.version import __version__

_ROOMS = ("benchmark", "data", "evaluation", "export", "interpret", "training")
_OF_ROOMS = {"compiled": "keras_vit.export"}

__all__ = [*_ROOMS, *_OF_ROOMS, "__version__"]

# A command answers mistakes in its flags before Keras is there, and takes what it needs from the
# rooms. Everyone else may go on with `keras.saving.load_model`, which has to know our layers.
if "keras_vit_command" not in sys.modules:
    import_keras()
    from keras_vit import layers
    from keras_vit.applications.checkpoint import from_checkpoint
    from keras_vit.applications.factories import *
    from keras_vit.applications.factories import __all__ as _factories
    from keras_vit.images.labels import decode_predictions
    from keras_vit.images.pillow_decoding import load_image
    from keras_vit.images.preprocessing import preprocess_input
    from keras_vit.images.spec import Preprocessing
    from keras_vit.models.config import HybridConfig, VisionTransformerConfig
    from keras_vit.models.spatial_features import feature_maps, feature_pyramid
    from keras_vit.models.variants import list_models
    from keras_vit.models.vision_transformer import VisionTransformer
    from keras_vit.weights import (
        LoadReport,
        list_weights,
        load_adapter,
        load_weights,
        save_adapter,
        save_checkpoint,
    )

    __all__ += [
        *_factories,
        "HybridConfig",
        "LoadReport",
        "Preprocessing",
        "VisionTransformer",
        "VisionTransformerConfig",
        "decode_predictions",
        "feature_maps",
        "feature_pyramid",
        "from_checkpoint",
        "layers",
        "list_models",
        "list_weights",
        "load_adapter",
        "load_image",
        "load_weights",
        "preprocess_input",
        "save_adapter",
        "save_checkpoint",
    ]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"keras_vit.{name}")
    if name in _OF_ROOMS:
        return getattr(importlib.import_module(_OF_ROOMS[name]), name)
    raise AttributeError(f"module 'keras_vit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
