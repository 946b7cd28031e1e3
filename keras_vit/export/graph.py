"""What a SavedModel holds: the weights, the labels and one graph behind several signatures."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_vit.export.decoding import decode_batch
from keras_vit.export.exportable import Exportable


class ServedModel:
    """The parts of a model that leave Python.

    `module` tracks the weights themselves and nothing else, so that each is written once: a Keras
    model brings a second list of them along, and a function its graph.

    Args:
        exportable: the model.
        labels: a name for each class; empty without a head.
        top_k: classes that `classify_bytes` names.
        asset: file with the labels, copied into the SavedModel, or None.
    """

    def __init__(
        self,
        exportable: Exportable,
        labels: Sequence[str] = (),
        top_k: int = 1,
        asset: pathlib.Path | None = None,
    ):
        self.module = tf.Module(name="served_model")
        self.module.model_weights = [weight.value for weight in exportable.model.weights]
        if asset is not None:
            self.module.labels_asset = tf.saved_model.Asset(str(asset))
        self._labels = tuple(labels)
        self._top_k = min(int(top_k), len(labels))
        self._preprocessing = exportable.preprocessing
        images = exportable.model.inputs[0]
        self._images = tf.TensorSpec(images.shape, images.dtype, "images")
        self._exportable = exportable
        self._forward = _function(exportable.forward(), self._images)

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions by signature name."""
        functions = {"serving_default": self._serve}
        if "features" in self._forward.get_concrete_function().structured_outputs:
            functions["embed"] = self._embed
        concrete = {
            name: _function(function, self._images).get_concrete_function()
            for name, function in functions.items()
        }
        if self._labels and len(self._preprocessing.mean) in (1, 3):
            strings = tf.TensorSpec([None], tf.string, "image_bytes")
            concrete["classify_bytes"] = _function(
                self._classify_bytes, strings
            ).get_concrete_function()
        return concrete

    def all_outputs(self, batch_size: int | None = None) -> Any:
        """Returns one function of all outputs for converters; a batch of one size or of any."""
        shape = [batch_size, *self._images.shape[1:]]
        images = tf.TensorSpec(shape, self._images.dtype, "images")
        return _function(for_converters(self._exportable), images).get_concrete_function()

    def _serve(self, images: Any) -> dict[str, Any]:
        outputs = self._forward(images)
        if self._labels:
            outputs.pop("features", None)
        return outputs

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


@contextlib.contextmanager
def scratch_saved_model(exportable: Exportable, batch_size: int | None) -> Iterator[str]:
    """Writes a SavedModel of all outputs for a converter, and gives its folder to the block."""
    served = ServedModel(exportable)
    signature = served.all_outputs(batch_size)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(served.module, folder, signatures={"serving_default": signature})
        yield folder
