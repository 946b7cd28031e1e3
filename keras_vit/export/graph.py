"""What a SavedModel holds: the weights, the labels and one graph behind several signatures."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vit.export.decoding import decode_batch
from keras_vit.export.exportable import Exportable


def weights_of(exportable: Exportable) -> tf.Module:
    """Returns what tracks the weights of a model and nothing else, so that each is written once.

    A Keras model brings a second list of them along, and a function its graph.
    """
    module = tf.Module(name="served_model")
    module.model_weights = [weight.value for weight in exportable.model.weights]
    return module


def signatures(exportable: Exportable, labels: Sequence[str], top_k: int) -> dict[str, Any]:
    """Returns the concrete functions of a SavedModel by signature name, on one graph.

    There is a label for each class, none without a head; `classify_bytes` names the `top_k` best,
    or tells the values of a regression.
    """
    images, preprocessing = exportable.model.inputs[0], exportable.preprocessing
    spec = tf.TensorSpec(images.shape, images.dtype, "images")
    forward = _function(exportable.forward(), spec)

    def serve(images):
        outputs = forward(images)
        return {name: v for name, v in outputs.items() if name != "features" or not labels}

    def embed(images):
        return {"features": forward(images)["features"]}

    def classify_bytes(image_bytes):
        images, valid = decode_batch(image_bytes, preprocessing)
        outputs = forward(tf.cast(images, spec.dtype))
        row = valid[:, tf.newaxis]
        if exportable.output == "values":
            return {"values": tf.where(row, outputs["values"], np.nan), "valid": valid}
        scores, classes = tf.math.top_k(outputs["probabilities"], min(int(top_k), len(labels)))
        return {
            "classes": tf.where(row, classes, -1),
            "scores": tf.where(row, scores, 0.0),
            "labels": tf.where(row, tf.gather(tf.constant(labels), classes), ""),
            "valid": valid,
        }

    functions = {"serving_default": _function(serve, spec)}
    if "features" in forward.get_concrete_function().structured_outputs:
        functions["embed"] = _function(embed, spec)
    if labels and len(preprocessing.mean) in (1, 3):
        strings = tf.TensorSpec([None], tf.string, "image_bytes")
        functions["classify_bytes"] = _function(classify_bytes, strings)
    return {name: function.get_concrete_function() for name, function in functions.items()}


def _function(function: Callable, spec: Any) -> Any:
    # Nothing here branches in Python on values, so that reading the source again is lost time.
    return tf.function(function, input_signature=[spec], autograph=False)


def for_converters(exportable: Exportable) -> Callable:
    """Returns `exportable.forward()` as converters to other runtimes know it."""
    forward = exportable.forward()

    def run(images):
        with exportable.backbone.parts.gelu_form("portable"):
            return forward(images)

    return run


def all_outputs(exportable: Exportable, batch_size: int | None = None) -> Any:
    """Returns one function of all outputs for converters; a batch of one size or of any."""
    key = "all outputs", batch_size
    if key not in exportable.kept:
        images = exportable.model.inputs[0]
        spec = tf.TensorSpec([batch_size, *images.shape[1:]], images.dtype, "images")
        function = _function(for_converters(exportable), spec)
        exportable.kept[key] = function.get_concrete_function()
    return exportable.kept[key]


@contextlib.contextmanager
def scratch_saved_model(exportable: Exportable, batch_size: int | None) -> Iterator[str]:
    """Writes a SavedModel of all outputs for a converter, and gives its folder to the block."""
    signature = all_outputs(exportable, batch_size)
    with tempfile.TemporaryDirectory() as folder:
        module = weights_of(exportable)
        tf.saved_model.save(module, folder, signatures={"serving_default": signature})
        yield folder
