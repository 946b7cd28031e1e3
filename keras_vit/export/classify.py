"""From image files to named classes, with a Keras model or an exported one."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_vit.export.exported import SUFFIXES, find_saved_model, open_exported
from keras_vit.images.labels import decode_predictions
from keras_vit.images.pillow_decoding import load_image

Result = dict[str, Any]


def classify_files(
    model: Any,
    paths: Iterable[str | os.PathLike],
    *,
    top: int = 5,
    labels: Sequence[str] | None = None,
    batch_size: int = 8,
) -> Iterator[Result]:
    """Names the best classes of image files; a file that is no image does not stop the others.

    Args:
        model: a `keras_vit.VisionTransformer` with a head, or what an export wrote: a `.tflite`,
            `.onnx` or `.xml` file with its metadata beside it, or the folder of a SavedModel, the
            version itself or the folder of the versions (the latest is taken).
        paths: JPEG, PNG, GIF, BMP or WebP files.
        top: classes to name; a SavedModel knows `top_k` of its export at most.
        labels: one name for each class, for a Keras model; None for ImageNet's own with 1000 or
            21,843 classes. An exported model has its own.
        batch_size: images at a time.

    Yields:
        For each file, in order, `{"file": path, "predictions": [...]}`, best first, each
        `{"class": WordNet id or column, "label": name, "score": probability}`; or
        `{"file": path, "error": what is wrong}`.

    Raises:
        ValueError: a model without head, a folder without SavedModel, or labels that do not fit.
    """
    if isinstance(model, (str, os.PathLike)):
        if labels is not None:
            raise ValueError(
                "Expected no `labels` with an exported model, which has its own. "
                f"Received: {len(labels)} labels."
            )
        if pathlib.Path(model).suffix in SUFFIXES:
            exported = open_exported(model)
            read, classify = _image_reader(exported.preprocessing), _classifier(exported, top)
        else:
            read, classify = _read_bytes, _saved_model_classifier(model, top)
    else:
        read, classify = _image_reader(model), _keras_classifier(model, top, labels)
    paths = iter(paths)
    while chunk := list(itertools.islice(paths, batch_size)):
        yield from _classify_chunk(chunk, read, classify)


def _classify_chunk(
    paths: list, read: Callable[[Any], Any], classify: Callable[[list], list]
) -> Iterator[Result]:
    errors, images = {}, {}
    for index, path in enumerate(paths):
        try:
            images[index] = read(path)
        except (ValueError, OSError) as error:
            errors[index] = str(error)
    found = dict(zip(images, classify(list(images.values())), strict=True)) if images else {}
    for index, path in enumerate(paths):
        result: Result = {"file": os.fspath(path)}
        predictions = found.get(index)
        if predictions is None:
            result["error"] = errors.get(index, f"'{path}' cannot be decoded as an image.")
        else:
            result["predictions"] = [
                {"class": key, "label": label, "score": score} for key, label, score in predictions
            ]
        yield result


def _classifier(exported: Any, top: int) -> Callable:
    if not exported.labels:
        raise ValueError(f"Expected a model with a head. Received: '{exported.path}' without one.")

    def classify(images: list) -> list:
        scores = exported(np.stack(images))["probabilities"]
        return decode_predictions(scores, top=top, labels=exported.labels)

    return classify


def _image_reader(model: Any) -> Callable[[Any], np.ndarray]:
    return lambda path: load_image(path, model)


def _keras_classifier(model: Any, top: int, labels: Sequence[str] | None) -> Callable:
    from keras import activations, ops

    if getattr(model, "logits", None) is None:
        raise ValueError(f"Expected a model with a head. Received: {model!r}, which has none.")
    has_activation = model.classifier_activation is not activations.linear
    # Labels that do not fit are an error now, before the first image.
    decode_predictions(np.zeros((0, model.config.num_classes)), top=top, labels=labels)

    def classify(images: list) -> list:
        outputs = model(np.stack(images), training=False)
        scores = outputs if has_activation else ops.softmax(outputs)
        return decode_predictions(scores, top=top, labels=labels)

    return classify


def _read_bytes(path: Any) -> bytes:
    return pathlib.Path(path).read_bytes()


def _saved_model_classifier(folder: str | os.PathLike, top: int) -> Callable:
    import tensorflow as tf

    folder = find_saved_model(folder)
    loaded = tf.saved_model.load(str(folder))  # the signature needs it alive
    if "classify_bytes" not in loaded.signatures:
        raise ValueError(
            "Expected a SavedModel with the signature `classify_bytes`. "
            f"Received: '{folder}' with {sorted(loaded.signatures)}."
        )

    def classify(images: list) -> list:
        outputs = loaded.signatures["classify_bytes"](image_bytes=tf.constant(images))
        values = {name: value.numpy() for name, value in outputs.items()}
        rows = zip(values["classes"], values["labels"], values["scores"], strict=True)
        return [
            [(int(c), label.decode(), float(s)) for c, label, s in zip(*row, strict=True)][:top]
            if valid
            else None
            for row, valid in zip(rows, values["valid"], strict=True)
        ]

    return classify
