"""Vision Transformers for Keras: models, pretrained weights, training, inspection and export.

The names below are the public ones; a room that needs slow libraries is imported when it is first
used.
"""

from __future__ import annotations

import importlib
from typing import Any

from keras_vit import layers
from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.applications.factories import *
from keras_vit.applications.factories import __all__ as _factories
from keras_vit.images.labels import decode_predictions
from keras_vit.images.pillow_decoding import load_image
from keras_vit.images.preprocessing import preprocess_input
from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.models.variants import list_models
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.version import __version__
from keras_vit.weights import LoadReport, list_weights, load_weights, save_checkpoint

_ROOMS = ("benchmark", "data", "evaluation", "export", "interpret", "training")

__all__ = [
    *_factories,
    *_ROOMS,
    "HybridConfig",
    "LoadReport",
    "Preprocessing",
    "VisionTransformer",
    "VisionTransformerConfig",
    "__version__",
    "decode_predictions",
    "from_checkpoint",
    "layers",
    "list_models",
    "list_weights",
    "load_image",
    "load_weights",
    "preprocess_input",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"keras_vit.{name}")
    raise AttributeError(f"module 'keras_vit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
