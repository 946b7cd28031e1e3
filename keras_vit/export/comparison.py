"""An exported file is read back and compared with its model before it is called done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vit.export.agreement import model_outputs
from keras_vit.images.preprocessing import preprocess_input


def sample_images(model: Any, count: int) -> np.ndarray:
    """Returns random pictures, prepared as the model takes them.

    Args:
        model: a `keras_vit.VisionTransformer`.
        count: how many.

    Returns:
        float32 array (count, height, width, channels).
    """
    preprocessing = model.preprocessing
    shape = (count, *preprocessing.size, len(preprocessing.mean))
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    return np.asarray(preprocess_input(pixels, preprocessing), "float32")


def compare(
    model: Any,
    run: Callable[[np.ndarray], dict[str, np.ndarray]],
    tolerance: float,
    *,
    batch_size: int | None = None,
    images: np.ndarray | None = None,
    name: str,
) -> None:
    """Compares what an exported form says with its model, on a batch of one and one of three.

    Args:
        model: a `keras_vit.VisionTransformer`.
        run: the form in its own runtime, float32 images to outputs by name.
        tolerance: largest difference, as a share of the largest value of an output.
        batch_size: the only number of images that the form takes; None for any.
        images: prepared, of which the first are taken; None for random pictures.
        name: of the form, for errors.

    Raises:
        RuntimeError: it does not run, lacks an output, or differs by more.
    """
    for count in (batch_size,) if batch_size else (1, 3):
        batch = sample_images(model, count) if images is None else images[:count]
        try:
            outputs = run(batch)
        except Exception as error:  # each runtime has kinds of its own
            raise RuntimeError(f"The {name} does not run: {error}") from error
        for key, expected in model_outputs(model, batch).items():
            if key not in outputs or outputs[key].shape != expected.shape:
                received = {k: v.shape for k, v in outputs.items()}
                raise RuntimeError(
                    f"Expected `{key}` of shape {expected.shape} from the {name}. "
                    f"Received: {received}."
                )
            error = np.abs(outputs[key] - expected).max() / max(np.abs(expected).max(), 1e-6)
            if not error <= tolerance:
                raise RuntimeError(
                    f"Expected `{key}` of the {name} within {tolerance} of the model's, relative "
                    f"to the largest value. Received: {error:.3g}."
                )
