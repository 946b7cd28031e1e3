"""Measures -> figures.

Every function takes plain arrays and returns a `matplotlib.figure.Figure`; `save` writes it.
Nothing touches pyplot, so no figure stays open and no display is needed. The colour maps
(inferno, viridis, cividis) read the same with any colour vision and in grey.
"""

from keras_vit.interpret.canvas import displayable, save
from keras_vit.interpret.charts import (
    attention_distance,
    attention_heads,
    embedding_filters,
    position_similarity,
)
from keras_vit.interpret.overlays import (
    heads_over_images,
    heat_map,
    heat_map_rows,
    predictions,
)

__all__ = [
    "attention_distance",
    "attention_heads",
    "displayable",
    "embedding_filters",
    "heads_over_images",
    "heat_map",
    "heat_map_rows",
    "position_similarity",
    "predictions",
    "save",
]
