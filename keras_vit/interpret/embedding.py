"""A model -> what it learned about positions and pixels before any attention."""

from typing import Any

import numpy as np

from keras_vit.interpret.observe import to_array
from keras_vit.layers import PatchEncoder
from keras_vit.models.config import config_of


def position_similarity(model: Any) -> np.ndarray:
    """Compares the position embeddings of the patches with each other.

    Args:
        model: a `keras_vit.VisionTransformer`, with a learned or a fixed embedding.

    Returns:
        (grid rows, grid columns, grid rows, grid columns) float32: entry (a, b, c, d) is the cosine
        similarity of the embeddings of patch (a, b) and patch (c, d). The grid is that of
        `model.config.image_size`, also for a model that takes any size. Rows of prefix tokens are
        left out.

    Raises:
        ValueError: another kind of model, or one that adds no positions to its tokens.

    Reference: arXiv 2010.11929, Figure 7 (centre).
    """
    config = config_of(model)
    if config.position_embedding == "none":
        raise ValueError(
            "Expected a model whose tokens have positions added. Received: "
            "position_embedding='none'."
        )
    positions = to_array(_patch_encoder(model).positions(config.grid_size))[0]
    patches = positions[config.position_embedding_prefix_rows :]
    norms = np.linalg.norm(patches, axis=-1, keepdims=True)
    unit = np.divide(patches, norms, out=np.zeros_like(patches), where=norms > 0)
    return np.clip(unit @ unit.T, -1, 1).reshape(*config.grid_size, *config.grid_size)


def embedding_filters(model: Any, n: int = 28) -> np.ndarray:
    """Returns the principal components of the patch embedding as small images.

    The `hidden_size` filters of the patch projection are points in the space of pixel values of a
    patch; their principal components, strongest first, are directions there and so images again.

    Args:
        model: a `keras_vit.VisionTransformer` whose patches are pixels.
        n: how many components, at least 1. Small patches have fewer: at most
            `min(hidden_size - 1, patch_size**2 * channels)` are returned.

    Returns:
        (n, patch rows, patch columns, channels) float32 in [0, 1]; each component is scaled by its
        own largest value, 0.5 stands for zero. The sign of a component means nothing: the largest
        value is made positive.

    Raises:
        ValueError: a hybrid, whose patches are features and not pixels; another kind of model;
            `n` below 1.

    Reference: arXiv 2010.11929, Figure 7 (left).
    """
    config = config_of(model)
    if config.hybrid is not None:
        raise ValueError(
            "Expected a model whose patches are pixels. Received: a hybrid, whose patch embedding "
            "reads the feature map of a ResNet and has no filters to look at."
        )
    if n < 1:
        raise ValueError(f"Expected `n` to be at least 1. Received: n={n!r}.")
    kernel = to_array(_patch_encoder(model).projection.kernel)
    filters = kernel.T - kernel.mean(axis=1)
    _, _, components = np.linalg.svd(filters.astype(np.float64), full_matrices=False)
    components = components[: min(n, max(1, config.hidden_size - 1))]
    strongest = np.take_along_axis(
        components, np.abs(components).argmax(axis=1, keepdims=True), axis=1
    )
    scaled = 0.5 + 0.5 * components / strongest
    patch = config.patch_size
    return scaled.reshape(-1, patch, patch, config.in_channels).astype(np.float32)


def _patch_encoder(model: Any) -> PatchEncoder:
    return next(layer for layer in model.parts.embedding if isinstance(layer, PatchEncoder))
