"""What a Vision Transformer sees: attention, rollout, relevance, distances, positions, features.

Measures take a `keras_vit.VisionTransformer` and prepared images and return NumPy arrays;
`rollout` and `mean_attention_distance` take plain arrays. `plot` draws what they return.
"""

from typing import TYPE_CHECKING

from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.interpret import plot
    from keras_vit.interpret.artifacts import artifact_patches, fill_patches
    from keras_vit.interpret.attention_flow import rollout
    from keras_vit.interpret.attention_measures import (
        attention_distance,
        attention_maps,
        attention_rollout,
        head_attention,
        iter_attention,
    )
    from keras_vit.interpret.dense_features import (
        feature_extractor,
        feature_foreground,
        feature_pca,
        patch_features,
        patch_similarity,
    )
    from keras_vit.interpret.distance import mean_attention_distance
    from keras_vit.interpret.embedding import embedding_filters, position_similarity
    from keras_vit.interpret.leading_maps import saliency
    from keras_vit.interpret.relevance import class_relevance

__all__ = [
    "artifact_patches",
    "attention_distance",
    "attention_maps",
    "attention_rollout",
    "class_relevance",
    "embedding_filters",
    "feature_extractor",
    "feature_foreground",
    "feature_pca",
    "fill_patches",
    "head_attention",
    "iter_attention",
    "mean_attention_distance",
    "patch_features",
    "patch_similarity",
    "plot",
    "position_similarity",
    "rollout",
    "saliency",
]

__getattr__, __dir__ = on_demand(__name__)
