"""Does an exported model still say the same, where neither keras_vit nor Keras can be imported?"""

from __future__ import annotations

import io
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from keras_vit.images.preprocessing import preprocess_input

RUNNER = pathlib.Path(__file__).with_name("run_saved_model.py")


def check(model: Any, folder: str | os.PathLike, images: Any = None) -> float:
    """Runs a SavedModel in a fresh Python process without Keras and compares it with its model.

    The process gets prepared images for `serving_default` and `embed`, and the same pictures as
    PNG files, with a broken one among them, for `classify_bytes`.

    Args:
        model: the `keras_vit.VisionTransformer` that was exported.
        folder: the version folder that `saved_model` returned.
        images: uint8 array (batch, height, width, channels) to compare on; None for four random
            pictures.

    Returns:
        The largest absolute difference over all outputs.

    Raises:
        RuntimeError: the process failed, named other classes than the model, or did not tell the
            broken image from the others; with its last words.
    """
    preprocessing = model.preprocessing
    if images is None:
        shape = (4, *preprocessing.size, len(preprocessing.mean))
        images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    prepared = np.asarray(preprocess_input(images, preprocessing))
    expected = model_outputs(model, prepared)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        np.save(scratch / "images.npy", prepared)
        if images.shape[-1] in (1, 3):
            for index, image in enumerate(images):
                (scratch / f"{index}.image").write_bytes(_png(image))
            (scratch / f"{len(images)}.image").write_bytes(b"no image")
        _run(folder, scratch)
        with np.load(scratch / "outputs.npz", allow_pickle=False) as outputs:
            return _largest_difference(dict(outputs), expected, len(images))


def model_outputs(model: Any, prepared: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what a Keras model says, under the names of the exported signatures.

    Args:
        model: a `keras_vit.VisionTransformer`.
        prepared: (batch, height, width, channels) as the model takes them.

    Returns:
        float32 arrays: `features` and, with a head, `logits` and `probabilities`.
    """
    from keras import Model, activations, ops

    symbols = {"features": model.features}
    if model.logits is not None:
        symbols |= {"logits": model.logits, "probabilities": model.outputs[0]}
    values = Model(model.inputs[0], symbols)(prepared, training=False)
    values = {name: ops.cast(value, "float32") for name, value in values.items()}
    if model.logits is not None and model.classifier_activation is activations.linear:
        values["probabilities"] = ops.softmax(values["logits"])
    return {name: ops.convert_to_numpy(value) for name, value in values.items()}


def agreement(
    expected: dict[str, np.ndarray], received: dict[str, np.ndarray], labels: Any = None
) -> dict[str, float]:
    """Says how well the outputs of an exported form agree with those of its model.

    Args:
        expected: `logits` and `probabilities` of the model, (images, classes).
        received: those of the exported form.
        labels: the true class of each image, or None.

    Returns:
        `max_difference` of the probabilities, `cosine` between the logits (mean over the images),
        `top1_agreement` in [0, 1] and, with labels, `accuracy` of the exported form in [0, 1].
    """
    one, other = (np.asarray(o["logits"], "float64") for o in (expected, received))
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    difference = np.abs(expected["probabilities"] - received["probabilities"])
    best = other.argmax(-1)
    values = {
        "max_difference": difference.max(),
        "cosine": ((one * other).sum(-1) / np.maximum(norms, 1e-12)).mean(),
        "top1_agreement": (one.argmax(-1) == best).mean(),
    }
    if labels is not None:
        values["accuracy"] = (best == np.asarray(labels)).mean()
    return {name: float(value) for name, value in values.items()}


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image if image.shape[-1] == 3 else image[..., 0]).save(buffer, "PNG")
    return buffer.getvalue()


def _run(folder: str | os.PathLike, scratch: pathlib.Path) -> None:
    command = [sys.executable, str(RUNNER), os.path.abspath(folder), str(scratch)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
    if result.returncode:
        raise RuntimeError(
            f"Expected the exported model in {str(folder)!r} to run in a fresh process. Received: "
            f"exit status {result.returncode} and\n{result.stderr[-2000:]}"
        )


def _largest_difference(
    outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray], count: int
) -> float:
    differences = [0.0]
    for name in expected.keys() & outputs.keys():
        differences.append(np.abs(outputs[name] - expected[name]).max(initial=0.0))
    if "classes" in outputs:
        valid = outputs["valid"]
        if list(valid) != [True] * count + [False] or outputs["scores"][-1].any():
            raise RuntimeError(
                f"Expected {count} good images and one broken one. Received: valid={list(valid)}."
            )
        classes, scores = outputs["classes"][:count], outputs["scores"][:count]
        best = np.sort(expected["probabilities"], axis=-1)[:, ::-1][:, : scores.shape[1]]
        of_classes = np.take_along_axis(expected["probabilities"], classes, axis=-1)
        differences += [np.abs(scores - best).max(), np.abs(scores - of_classes).max()]
    return float(max(differences))
