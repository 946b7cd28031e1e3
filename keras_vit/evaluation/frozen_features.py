"""A model and a split become frozen features: one vector an image, computed once."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_choice
from keras_vit.data.dataset import Split
from keras_vit.data.pass_progress import PassProgress
from keras_vit.data.pipeline import evaluation_batches
from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import config_of
from keras_vit.models.poolings import POOLINGS

TOKENS = ("class", "mean")


@dataclasses.dataclass(frozen=True)
class Features:
    """The frozen features of a split.

    Attributes:
        vectors: `(examples, width)` float32.
        labels: `(examples,)` int64, 0 to `num_classes - 1`.
        num_classes: number of classes of the data set; a split may lack some.

    Raises:
        ValueError: no examples, vectors that are no matrix of finite numbers, or labels that do not
            belong to them.
    """

    vectors: np.ndarray
    labels: np.ndarray
    num_classes: int

    def __post_init__(self):
        vectors = np.asarray(self.vectors, "float32")
        labels = np.asarray(self.labels, "int64")
        if vectors.ndim != 2 or not vectors.size or labels.shape != vectors.shape[:1]:
            raise ValueError(
                "Expected vectors of shape (examples, width) and labels of shape (examples,), at "
                f"least one example. Received: {vectors.shape} and {labels.shape}."
            )
        check_finite(vectors)
        if labels.min() < 0 or labels.max() >= self.num_classes:
            raise ValueError(
                f"Expected labels from 0 to {self.num_classes - 1}. "
                f"Received: {labels.min()} to {labels.max()}."
            )
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "labels", labels)

    @property
    def class_counts(self) -> np.ndarray:
        """Images of each class, `(num_classes,)`."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def subset(self, indices: np.ndarray) -> Features:
        """Returns the examples at `indices`, in that order."""
        return Features(self.vectors[indices], self.labels[indices], self.num_classes)


def check_finite(vectors: np.ndarray) -> None:
    """Refuses features that are not numbers."""
    if not np.isfinite(vectors).all():
        raise ValueError(
            "Expected finite features. Received: NaN or infinite values; look for a broken "
            "model, or use float32 in place of float16."
        )


def feature_model(
    model: keras.Model, *, tokens: str | None = None, pooling: str | None = None
) -> keras.Model:
    """Returns a model on the same weights whose output is the vector that a head reads.

    Args:
        model: a `keras_vit.VisionTransformer`: its `features`. Of any other functional model the
            input of its last layer with weights when that is a `Dense`, the head; else its output.
            A model without head whose last layer is a `Dense` does not follow this: give its
            output to `extract_features` yourself.
        tokens: what stands for a model that returns all tokens: `"class"` for the class token,
            `"mean"` for the mean of the patch tokens. None is the class token, or the mean where
            there is none. Not used by models that pool.
        pooling: of a `keras_vit.VisionTransformer`, how its tokens become one vector in place of
            its own way: any name of `config.pooling` that has no weights of its own.

    Returns:
        A Keras model of output `(batch, width)`.

    Raises:
        ValueError: a model that is not functional, without such a vector or without class token, or
            a pooling that it has not.
    """
    check_choice("tokens", tokens, (None, *TOKENS))
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Expected a functional model or a built `keras.Sequential`. "
            f"Received: {type(model).__name__} {model.name!r} without symbolic inputs."
        )
    features = getattr(model, "features", None) if pooling is None else _pooled(model, pooling)
    if features is None:
        features = _penultimate(model)
    elif len(features.shape) == 3:
        features = _one_token(model.config, features, tokens)
    if len(features.shape) != 2:
        raise ValueError(
            "Expected a model with one vector an image before its head. Received: "
            f"{model.name!r}, which has {tuple(features.shape)} there. Pool it first."
        )
    return keras.Model(model.inputs, features, name="features")


def _penultimate(model: keras.Model) -> Any:
    """The input of the head of any functional model, or its output when it has no head."""
    weighted = [layer for layer in model.layers if layer.weights]
    if weighted and isinstance(weighted[-1], keras.layers.Dense):
        return weighted[-1].input
    return model.output


def _pooled(model: Any, name: str) -> Any:
    """The tokens of a Vision Transformer pooled in a way of choice."""
    config = config_of(model)
    check_choice("pooling", name, tuple(key for key, row in POOLINGS.items() if not row.keeps_all))
    if name == config.pooling:
        return model.features
    if POOLINGS[name].attends:
        raise ValueError(
            "Expected a pooling without weights, or the model's own. Received: "
            f"pooling={name!r} and a model of {config.pooling!r}."
        )
    layer = POOLINGS[name].make_layer(
        config.replace(pooling=name, num_classes=0), model.dtype_policy
    )
    pooled = layer(model.parts.ways["tokens"].output)
    return pooled if model.parts.norms_tokens else model.parts.norm(pooled)


def _one_token(config: Any, features: Any, tokens: str | None) -> Any:
    """`(batch, tokens, width)` to `(batch, width)`."""
    if tokens == "class" and not config.class_token:
        raise ValueError(
            'Expected a model with a class token for tokens="class". Received one without. '
            'Use tokens="mean".'
        )
    if tokens == "mean" or not config.class_token:
        return keras.ops.mean(features[:, config.num_prefix_tokens :], axis=1)
    return features[:, 0]


def extract_features(
    model: keras.Model,
    split: Split,
    num_classes: int,
    *,
    preprocessing: Preprocessing | None = None,
    batch_size: int = 64,
    verbose: int = 0,
) -> Features:
    """Runs a feature model once over a split, in evaluation mode and without augmentation.

    Args:
        model: from `feature_model`, or any Keras model of output `(batch, width)`.
        split: what to read.
        num_classes: number of classes of the data set.
        preprocessing: how an image becomes the input; None is `model.preprocessing`.
        batch_size: images a batch.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        Vectors and labels, in the order of the split.
    """
    preprocessing = model.preprocessing if preprocessing is None else preprocessing
    vectors, labels, _ = outputs_of(model, split, num_classes, preprocessing, batch_size, verbose)
    return Features(vectors, labels.argmax(axis=-1), num_classes)


def outputs_of(
    model: keras.Model,
    split: Split,
    num_classes: int,
    preprocessing: Preprocessing,
    batch_size: int,
    verbose: int,
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Runs a model once over a split, as `extract_features` does.

    Returns:
        Its outputs `(examples, width)`, the labels `(examples, num_classes)`, one-hot where they
        are classes, and the seconds of each batch.
    """
    batches = evaluation_batches(
        split, preprocessing, batch_size=batch_size, num_classes=num_classes
    )
    progress = PassProgress(split.num_examples if verbose else 0)
    outputs, labels, seconds = [], [], []
    for images, one_hot in batches:
        start = time.perf_counter()
        outputs.append(model.predict_on_batch(images))
        seconds.append(time.perf_counter() - start)
        labels.append(one_hot.numpy())
        progress.add(len(images))
    progress.end()
    return np.concatenate(outputs), np.concatenate(labels), seconds
