"""Vision Transformers for Keras: models, pretrained weights, training, inspection and export.

The names below are the public ones; a room that needs a slow library is imported when it is used.
"""

from __future__ import annotations

import importlib

from keras_vit import layers
from keras_vit.applications import *  # noqa: F403
from keras_vit.configs import HybridConfig, Preprocessing, VisionTransformerConfig, list_models
from keras_vit.vision_transformer import VisionTransformer

from keras_vit.version import __version__
