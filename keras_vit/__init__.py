"""Vision Transformers for Keras: models, pretrained weights, training, inspection and export."""

from keras_vit import layers
from keras_vit.configs import HybridConfig, Preprocessing, VisionTransformerConfig, list_models
from keras_vit.vision_transformer import VisionTransformer

__version__ = "0.1.0"
