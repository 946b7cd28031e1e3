"""A SavedModel for TF Serving: prepared images or encoded ones in, probabilities and labels out."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.export.deployment import served_name, write_deployment
from keras_vit.export.versions import new_version
from keras_vit.export.warmup import sample_requests, write_warmup
from keras_vit.files import write_json
from keras_vit.images.labels import CLASS_SETS, check_labels, imagenet_classes
from keras_vit.images.preprocessing import get_preprocessing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.version import __version__


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    labels: Sequence[str] | None = None,
    top_k: int = 5,
) -> pathlib.Path:
    """Writes a model as `<path>/<version>/`, ready for TF Serving or any TensorFlow runtime.

    Signatures, all with a batch of any size, 0 included, and float32 outputs whatever the policy
    of the model:

    - `serving_default`: `images`, prepared as `model.preprocessing` says, to `logits` and
      `probabilities` (batch, classes): the output of the model, or the softmax of its logits where
      it has no activation. Without a head, to `features`.
    - `embed`: `images` to `features` (batch, features), the vector that the head reads.
    - `classify_bytes`, with a head and 1 or 3 channels: `image_bytes`, strings (batch,), JPEG, PNG,
      GIF, BMP or WebP, to `classes` (int32), `scores`, `labels` (batch, k), best first, and
      `valid` (batch,). An image that is broken, an animated WebP, longer than 32 MiB or larger than
      `keras_vit.images.pillow_decoding.MAX_PIXELS` has class -1, score 0, label "" and valid
      False; it does not touch the others.

    Each weight is stored once. `assets/labels.txt` lists the labels; `metadata.json` holds config,
    preprocessing, labels and signatures; `assets.extra` a request for each signature, which TF
    Serving replays as it loads the model. The folder appears under the next free number when it is
    whole; a version that exists is never touched. Beside the versions stand `SERVING.md`, which
    says how to serve them, `models.config` and `batching_parameters.txt`, kept if they are there.

    Args:
        model: a `keras_vit.VisionTransformer`, on Keras's TensorFlow backend.
        path: folder of the versions, made if there is none.
        labels: one name for each class; None for ImageNet's own with 1000 or 21,843 classes, and
            for the number of each class otherwise.
        top_k: classes that `classify_bytes` names; all of them where there are fewer.

    Returns:
        The version folder.

    Raises:
        ValueError: not such a model, another backend, wrong `labels` or `top_k`, or a
            preprocessing that makes images of another shape than the model takes.
    """
    check_model(model)
    if isinstance(top_k, bool) or not hasattr(top_k, "__index__") or top_k < 1:
        raise ValueError(
            f"Expected `top_k` to be an integer of at least 1. Received: top_k={top_k!r}."
        )
    names = label_names(model, labels)

    import tensorflow as tf

    from keras_vit.export.graph import ServedModel

    with new_version(path) as new, tempfile.TemporaryDirectory() as scratch:
        asset = None
        if names:
            asset = pathlib.Path(scratch) / "labels.txt"
            asset.write_text("".join(f"{name}\n" for name in names), "utf-8")
        served = ServedModel(model, names, top_k, asset)
        signatures = served.signatures()
        tf.saved_model.save(served.module, str(new.folder), signatures=signatures)
        values = metadata(model, names, sorted(signatures))
        write_json(new.folder / "metadata.json", values)
        write_warmup(new.folder, served_name(path), sample_requests(model, sorted(signatures)))
    write_deployment(path, model, sorted(signatures))
    return new.published


def check_model(model: Any) -> None:
    """Refuses, with one clear error, what cannot be exported.

    Args:
        model: to be a `keras_vit.VisionTransformer` with one input, on Keras's TensorFlow backend,
            whose preprocessing makes images of the shape that it takes.

    Raises:
        ValueError: it is not.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected Keras's TensorFlow backend to export a model. Received: "
            f"{keras.backend.backend()!r}. Save the model as .keras and export it in a process "
            "with KERAS_BACKEND=tensorflow."
        )
    if not isinstance(getattr(model, "config", None), VisionTransformerConfig):
        raise ValueError(f"Expected a keras_vit.VisionTransformer. Received: {model!r}.")
    if len(model.inputs) != 1:
        raise ValueError(f"Expected a model with one input. Received: {len(model.inputs)} inputs.")
    preprocessing = get_preprocessing(model)
    shape = (*preprocessing.size, len(preprocessing.mean))
    expected = tuple(model.inputs[0].shape[1:])
    if any(side not in (None, given) for side, given in zip(expected, shape, strict=True)):
        raise ValueError(
            f"Expected `model.preprocessing` to make images of shape {expected}, as the model "
            f"takes. Received: shape {shape}. Set `model.preprocessing` to one that fits."
        )


def label_names(model: Any, labels: Sequence[str] | None) -> list[str]:
    """Returns a name for each class: those given, ImageNet's own, or numbers.

    Args:
        model: a `keras_vit.VisionTransformer`.
        labels: one name for each class, or None.
    """
    count = model.config.num_classes
    if labels is not None:
        return check_labels(labels, count)
    if count in CLASS_SETS:
        return [name for _, name in imagenet_classes(count)]
    return [str(column) for column in range(count)]


def metadata(model: Any, labels: list[str], signatures: list[str]) -> dict[str, Any]:
    """Returns what an exported form keeps beside it, as plain values for JSON.

    Args:
        model: a `keras_vit.VisionTransformer`.
        labels: a name for each class.
        signatures: names of those that the form has.
    """
    return {
        "format": "saved_model",
        "keras_vit_version": __version__,
        "name": model.name,
        "config": model.config.to_dict(),
        "preprocessing": model.preprocessing.to_dict(),
        "signatures": signatures,
        "labels": labels,
    }
