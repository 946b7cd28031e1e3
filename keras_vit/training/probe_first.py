"""The head before fine-tuning: a linear probe of the features that the model starts with.

Reference: "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution"
(arXiv 2202.10054), which calls it LP-FT.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_vit.data.dataset import ImageDataset
from keras_vit.data.pass_progress import PassProgress
from keras_vit.data.pipeline import evaluation_batches
from keras_vit.training.linear_fit import LinearFit, fit_linear

_BELOW = 10.0  # where a class without images begins, under the lowest bias


def has_linear_head(model: keras.Model) -> bool:
    """Says whether a model has one linear head on one vector an image, which a probe can fill."""
    head = getattr(getattr(model, "parts", None), "head", None)
    return isinstance(head, keras.layers.Dense) and len(model.features.shape) == 2


def check_probe(model: keras.Model, data: ImageDataset) -> None:
    """Refuses a model or a data set that no probe can be made of.

    Raises:
        ValueError: a model without one linear head on a vector, or a data set without classes.
    """
    if not has_linear_head(model):
        raise ValueError(
            "Expected a Vision Transformer with one linear head on one vector an image, for "
            f"probe_first. Received: {type(model).__name__} {model.name!r}. Set "
            "probe_first=false."
        )
    if data.task != "classes" or not data.class_names:
        raise ValueError(
            f"Expected one class an image, for probe_first. Received: {data.describe()}. Set "
            "probe_first=false."
        )


def fit_head(
    model: keras.Model, data: ImageDataset, *, batch_size: int, seed: int, verbose: bool = False
) -> LinearFit:
    """Gives the head of a model the logistic regression on its features; nothing else is changed.

    Args:
        model: passes `check_probe`.
        data: its training images are read once, not augmented.
        batch_size: images at a time.
        seed: of the images that choose the penalty.
        verbose: whether it says how far it is.

    Returns:
        What the head has become.
    """
    network = keras.Model(model.inputs, model.features)
    batches = evaluation_batches(
        data.split("train"),
        model.preprocessing,
        batch_size=batch_size,
        num_classes=data.num_classes,
    )
    images, _ = batches.element_spec

    spec = tf.TensorSpec([None, *images.shape[1:]], images.dtype)

    @tf.function(input_signature=[spec], autograph=False)
    def features(images):
        return tf.cast(network(images, training=False), "float32")

    vectors, labels = [], []
    progress = PassProgress(data.split("train").num_examples if verbose else 0)
    for images, one_hot in batches:
        vectors.append(features(images).numpy())
        labels.append(one_hot.numpy().argmax(axis=-1))
        progress.add(len(labels[-1]))
    progress.end()
    vectors, labels = np.concatenate(vectors), np.concatenate(labels)
    if np.unique(labels, return_counts=True)[1].min() == 1:  # of which none can be held out
        vectors, labels = np.tile(vectors, (2, 1)), np.tile(labels, 2)
    fitted = fit_linear(vectors, labels, data.num_classes, seed=seed)
    bias, lowest = fitted.bias, fitted.bias[np.isfinite(fitted.bias)].min()
    model.parts.head.kernel.assign(fitted.kernel.astype("float32"))
    model.parts.head.bias.assign(np.maximum(bias, lowest - _BELOW).astype("float32"))
    return fitted
