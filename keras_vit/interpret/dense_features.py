"""A model and images -> features of tokens and patches, and what they have in common."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_vit.interpret.attention_measures import head_attention
from keras_vit.interpret.observe import batches, check_images, grid_of, to_array
from keras_vit.models.config import config_of
from keras_vit.models.spatial_features import block_numbers, full_tokens


def feature_extractor(model: Any, blocks: int | Iterable[int]) -> keras.Model:
    """Makes a model that returns the token sequences behind chosen blocks.

    Args:
        model: a `keras_vit.VisionTransformer`; its weights are shared, not copied.
        blocks: block numbers counted from 0 (negative: from the last), or one number.

    Returns:
        A `keras.Model` with the inputs of `model`. Its output is a list with one tensor (batch,
        tokens, hidden), prefix tokens first and before the final norm, for each block; for a
        single number that tensor alone. Where blocks merge tokens, each merged token stands at all
        its places.

    Raises:
        ValueError: another kind of model, or unknown blocks.
    """
    config = config_of(model)
    single = hasattr(blocks, "__index__")
    numbers = block_numbers(config.num_layers, [blocks] if single else blocks)
    outputs = [full_tokens(model, model.parts.behind[number]) for number in numbers]
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, outputs[0] if single else outputs, name="feature_extractor")


def patch_features(
    model: Any, images: Any, block: int | None = None, *, batch_size: int = 8
) -> np.ndarray:
    """Returns the features of the patches, laid out on their grid.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        block: behind which block, counted from 0 (negative: from the last); None is behind the
            last one and the final norm, where the model norms its tokens.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns, hidden) float32.

    Raises:
        ValueError: another kind of model, images that it does not take, or an unknown block.
    """
    config = config_of(model)
    images = check_images(model, images)
    extract = model.encode if block is None else feature_extractor(model, block)
    grid = grid_of(model, images)
    features = []
    for piece in batches(images, batch_size):
        patches = to_array(extract(piece, training=False))[:, config.num_prefix_tokens :]
        features.append(patches.reshape(len(piece), *grid, -1))
    return np.concatenate(features)


def patch_similarity(
    model: Any,
    images: Any,
    patch: tuple[int, int],
    block: int | None = None,
    *,
    batch_size: int = 8,
) -> np.ndarray:
    """Compares the features of all patches with those of one patch of the same image.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        patch: (row, column) on the grid, counted from 0; negative numbers count from the end.
        block: as for `patch_features`.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns) float32: cosine similarity in [-1, 1].

    Raises:
        ValueError: as `patch_features`, or a patch outside the grid.
    """
    features = patch_features(model, images, block, batch_size=batch_size)
    rows, columns = features.shape[1:3]
    row, column = patch
    if not (-rows <= row < rows and -columns <= column < columns):
        raise ValueError(
            f"Expected `patch` on a grid of {rows} rows and {columns} columns, counted from 0. "
            f"Received: patch={tuple(patch)}."
        )
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    unit = np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
    return np.clip(np.einsum("brcd,bd->brc", unit, unit[:, row, column]), -1, 1)


def feature_foreground(
    model: Any, images: Any, block: int | None = None, *, batch_size: int = 8
) -> np.ndarray:
    """Shows where the things are: the first principal component of the features of the patches.

    The component is that of all patches of all images together. Its sign is the one that goes with
    what the last block looks at (`head_attention`, mean over heads).

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        block: as for `patch_features`.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns) float32; above 0 is more of a thing than the mean patch.

    Raises:
        ValueError: as `patch_features`.

    Reference: "DINOv2" (arXiv 2304.07193), section 7.3 and Figure 1.
    """
    return _features_and_foreground(model, images, block, batch_size)[1].astype(np.float32)


def feature_pca(
    model: Any, images: Any, block: int | None = None, *, batch_size: int = 8
) -> np.ndarray:
    """Shows the features of things as colours: their three principal components.

    Patches of the foreground are those whose `feature_foreground` lies above the threshold that
    parts all patches best (Otsu's). The components are those of these patches of all images
    together, so that a colour means the same in every image.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        block: as for `patch_features`.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns, 4) float32 in [0, 1]: three components, each stretched from
        its 1st to its 99th percentile, and 1 for patches of the foreground, 0 for others.

    Raises:
        ValueError: as `patch_features`.

    Reference: "DINOv2" (arXiv 2304.07193), section 7.3 and Figure 1.
    """
    features, foreground = _features_and_foreground(model, images, block, batch_size)
    first = foreground.ravel()
    things = first > _parting(first)
    flat = features.reshape(len(first), -1).astype(np.float64)
    projected = _principal(flat, flat[things] if things.any() else flat, 3)
    inside = projected[things] if things.any() else projected
    low, high = np.percentile(inside, [1, 99], axis=0)
    noise = 1e-6 * max(float(np.abs(inside).max()), 1e-12)
    stretched = np.where(high - low > noise, (projected - low) / np.maximum(high - low, noise), 0.5)
    colors = np.full((len(flat), 4), 0.5, np.float32)
    colors[:, : projected.shape[1]] = np.clip(stretched, 0, 1)
    colors[:, 3] = things
    return colors.reshape(*features.shape[:3], 4)


def _features_and_foreground(
    model: Any, images: Any, block: int | None, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features (batch, rows, columns, hidden), and their first component, without hidden."""
    features = patch_features(model, images, block, batch_size=batch_size)
    looked_at = head_attention(model, images, batch_size=batch_size).mean(axis=1)
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    first = _principal(flat, flat, 1)[:, 0]
    agrees = (first * (looked_at - looked_at.mean()).ravel()).sum() >= 0
    return features, (first if agrees else -first).reshape(looked_at.shape)


def _principal(flat: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """Projects rows on the strongest components of other rows: (rows, at most `count`)."""
    center = of.mean(axis=0)
    _, vectors = np.linalg.eigh((of - center).T @ (of - center))
    components = vectors[:, ::-1][:, :count]  # strongest first
    largest = np.take_along_axis(components, np.abs(components).argmax(0)[None], axis=0)
    return (flat - center) @ (components * np.sign(largest))


def _parting(values: np.ndarray) -> float:
    """Otsu's threshold: the one with the most variance between what it parts."""
    values = np.sort(values)
    below = np.arange(1, len(values))
    if not len(below):
        return float(values[0])
    sums = np.cumsum(values)
    means = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(values) - below)
    best = (below * (len(values) - below) * (means[1] - means[0]) ** 2).argmax()
    return float(values[best : best + 2].mean())
