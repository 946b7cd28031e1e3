"""What a SavedModel holds: the weights, the labels and one graph behind several signatures."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_vit.export.decoding import decode_batch
from keras_vit.layers.mlp import gelu_for_converters


class ServedModel:
    """The parts of a model that leave Python.

    `module` tracks the weights themselves and nothing else, so that each is written once: a Keras
    model brings a second list of them along, and a function its graph.

    Args:
        model: a `keras_vit.VisionTransformer`.
        labels: a name for each class; empty without a head.
        top_k: classes that `classify_bytes` names.
        asset: file with the labels, copied into the SavedModel, or None.
    """

    def __init__(self, model: Any, labels: Sequence[str], top_k: int, asset: pathlib.Path | None):
        self.module = tf.Module(name="served_model")
        self.module.model_weights = [weight.value for weight in model.weights]
        if asset is not None:
            self.module.labels_asset = tf.saved_model.Asset(str(asset))
        self._labels = tuple(labels)
        self._top_k = min(int(top_k), len(labels))
        self._preprocessing = model.preprocessing
        self._images = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, "images")
        self._model = model
        self._forward = tf.function(forward_function(model), input_signature=[self._images])

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions by signature name."""
        functions = {"serving_default": self._serve, "embed": self._embed}
        concrete = {
            name: tf.function(function, input_signature=[self._images]).get_concrete_function()
            for name, function in functions.items()
        }
        if self._labels and len(self._preprocessing.mean) in (1, 3):
            strings = tf.TensorSpec([None], tf.string, "image_bytes")
            function = tf.function(self._classify_bytes, input_signature=[strings])
            concrete["classify_bytes"] = function.get_concrete_function()
        return concrete

    def all_outputs(self, batch_size: int | None = None) -> Any:
        """Returns one function of all outputs for converters; a batch of one size or of any."""
        shape = [batch_size, *self._images.shape[1:]]
        images = tf.TensorSpec(shape, self._images.dtype, "images")
        forward = forward_function(self._model, for_converters=True)
        return tf.function(forward, input_signature=[images]).get_concrete_function()

    def _serve(self, images: Any) -> dict[str, Any]:
        outputs = self._forward(images)
        return outputs if not self._labels else {
            name: outputs[name] for name in ("logits", "probabilities")
        }  # fmt: skip

    def _embed(self, images: Any) -> dict[str, Any]:
        return {"features": self._forward(images)["features"]}

    def _classify_bytes(self, image_bytes: Any) -> dict[str, Any]:
        images, valid = decode_batch(image_bytes, self._preprocessing)
        probabilities = self._forward(tf.cast(images, self._images.dtype))["probabilities"]
        scores, classes = tf.math.top_k(probabilities, self._top_k)
        row = valid[:, tf.newaxis]
        return {
            "classes": tf.where(row, classes, -1),
            "scores": tf.where(row, scores, 0.0),
            "labels": tf.where(row, tf.gather(tf.constant(self._labels), classes), ""),
            "valid": valid,
        }


def forward_function(model: Any, *, for_converters: bool = False) -> Any:
    """Returns the plain function behind all signatures: images to float32 outputs by name.

    Args:
        model: a `keras_vit.VisionTransformer`.
        for_converters: whether its graph is for other runtimes than TensorFlow.

    Returns:
        A function of images (batch, height, width, channels) to a dictionary with `features` and,
        with a head, `logits` and `probabilities`.
    """
    outputs = {"features": model.features}
    if model.logits is not None:
        outputs |= {"logits": model.logits, "probabilities": model.outputs[0]}
    inner = keras.Model(model.inputs[0], outputs)
    has_activation = model.classifier_activation is not keras.activations.linear

    def forward(images):
        with gelu_for_converters() if for_converters else contextlib.nullcontext():
            values = inner(images, training=False)
        results = {name: tf.cast(value, tf.float32) for name, value in values.items()}
        if "logits" in results and not has_activation:
            results["probabilities"] = tf.nn.softmax(results["logits"])
        return results

    return forward
