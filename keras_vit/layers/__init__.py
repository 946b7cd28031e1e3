"""The layers of a Vision Transformer, one a file; none knows of models, variants or checkpoints."""

from keras_vit.layers.attention import MultiHeadSelfAttention
from keras_vit.layers.attention_pooling import AttentionPooling
from keras_vit.layers.distilled_head import DistilledHead
from keras_vit.layers.drop_path import DropPath
from keras_vit.layers.dropout import Dropout
from keras_vit.layers.layer_norm import LayerNormalization, RMSNormalization
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.mlp import Mlp
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.patch_grid import PatchGrid
from keras_vit.layers.patches import Patches
from keras_vit.layers.position_resize import interpolation_matrix, resize_positions
from keras_vit.layers.relative_bias import RelativePositionBias, resize_bias_table
from keras_vit.layers.resnet_stem import ResNetStem
from keras_vit.layers.rotary import PatchCoordinates, Rotary
from keras_vit.layers.standardized_conv import StandardizedConv2D
from keras_vit.layers.token_merging import (
    Matching,
    TokenUnmerging,
    match_tokens,
    merge_tokens,
    take_tokens,
)
from keras_vit.layers.token_pooling import TokenPooling
from keras_vit.layers.transformer_block import TransformerBlock

__all__ = [
    "AttentionPooling",
    "DistilledHead",
    "DropPath",
    "Dropout",
    "LayerNormalization",
    "LayerScale",
    "Matching",
    "Mlp",
    "MultiHeadSelfAttention",
    "PatchCoordinates",
    "PatchEncoder",
    "PatchGrid",
    "Patches",
    "RMSNormalization",
    "RelativePositionBias",
    "ResNetStem",
    "Rotary",
    "StandardizedConv2D",
    "TokenPooling",
    "TokenUnmerging",
    "TransformerBlock",
    "interpolation_matrix",
    "match_tokens",
    "merge_tokens",
    "resize_bias_table",
    "resize_positions",
    "take_tokens",
]
