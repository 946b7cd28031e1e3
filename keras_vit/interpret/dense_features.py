"""A model and images -> features of tokens and patches, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_vit.interpret.merged import TokenState, full_tokens, run_block
from keras_vit.interpret.observe import (
    batches,
    block_numbers,
    check_images,
    check_model,
    grid_of,
    to_array,
)
from keras_vit.layers import TokenUnmerging


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
    config = check_model(model)
    single = hasattr(blocks, "__index__")
    numbers = block_numbers(config, [blocks] if single else blocks)
    outputs = [_full_tokens(model, model.parts.behind[number]) for number in numbers]
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, outputs[0] if single else outputs, name="feature_extractor")


def _full_tokens(model: Any, state: TokenState) -> Any:
    if state.places is None:
        return state.tokens
    return TokenUnmerging(dtype=model.dtype_policy)(state.tokens, state.places)


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
    config = check_model(model)
    images = check_images(model, images)
    numbers = None if block is None else block_numbers(config, [block])
    grid = grid_of(model, images)
    features = []
    for piece in batches(images, batch_size):
        if block is None:
            tokens = model.encode(piece, training=False)
        else:
            state = TokenState.of(model.embed(piece, training=False))
            for layer in model.blocks[: numbers[0] + 1]:
                state = run_block(layer, state)
            tokens = full_tokens(state)
        patches = to_array(tokens)[:, config.num_prefix_tokens :]
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


def feature_pca(
    model: Any, images: Any, block: int | None = None, *, batch_size: int = 8
) -> np.ndarray:
    """Shows the features of the patches as colours: their first three principal components.

    The components are those of all patches of all images together, so that a colour means the
    same in every image.

    Args:
        model: a `keras_vit.VisionTransformer`.
        images: prepared images, (batch, height, width, channels).
        block: as for `patch_features`.
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns, 3) float32 in [0, 1]; each component is stretched from its
        1st to its 99th percentile.

    Raises:
        ValueError: as `patch_features`.

    Reference: "DINOv2" (arXiv 2304.07193), Figure 1.
    """
    features = patch_features(model, images, block, batch_size=batch_size)
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    flat -= flat.mean(axis=0)
    values, vectors = np.linalg.eigh(flat.T @ flat)
    components = vectors[:, ::-1][:, :3]  # strongest first
    largest = np.take_along_axis(components, np.abs(components).argmax(0)[None], axis=0)
    projected = flat @ (components * np.sign(largest))
    low, high = np.percentile(projected, [1, 99], axis=0)
    noise = 1e-6 * np.sqrt(max(values[-1] / len(flat), 1e-300))
    stretched = np.where(high - low > noise, (projected - low) / np.maximum(high - low, noise), 0.5)
    colors = np.full((len(flat), 3), 0.5, np.float32)
    colors[:, : projected.shape[1]] = np.clip(stretched, 0, 1)
    return colors.reshape(*features.shape[:3], 3)
