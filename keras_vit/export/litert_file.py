"""A model for phones and small CPUs: one LiteRT file (`.tflite`), quantised on request."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.export.serving import check_model, label_names, metadata
from keras_vit.files import replacing, write_json

QUANTIZATIONS = (None, "float16", "int8")
_TOLERANCES = {None: 1e-3, "float16": 0.02, "int8": 0.5}  # of the largest value of an output


def litert(
    model: Any,
    path: str | os.PathLike,
    quantize: str | None = None,
    *,
    labels: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> pathlib.Path:
    """Writes a model as a LiteRT file, read back and compared with the model before it is kept.

    The signature `serving_default` takes `images`, float32 and prepared as `model.preprocessing`
    says, and gives `features` and, with a head, `logits` and `probabilities`. Only LiteRT's own
    operations are used. Beside the file stands `<name>.json` with config, preprocessing and labels.

    Args:
        model: a `keras_vit.VisionTransformer`, on Keras's TensorFlow backend; a model of low
            precision is converted in float32.
        path: the file, ending in `.tflite`.
        quantize: None for float32; `"float16"` halves the file, weights being float16; `"int8"`
            quarters it, weights being int8 and the matrix products of integers, with the range of
            each input taken as it comes (dynamic range).
        labels: one name for each class, as in `saved_model`.
        batch_size: images at a time; None for any number.

    Returns:
        The path of the file.

    Raises:
        ValueError: a wrong argument, or a model that `saved_model` would refuse.
        RuntimeError: the file does not run or says something else than the model; none is left.
    """
    path = pathlib.Path(path)
    _check_arguments(path, quantize, batch_size)
    check_model(model)
    names = label_names(model, labels)
    model = _in_float32(model)
    content = _convert(model, quantize, batch_size)
    _compare(model, content, quantize, batch_size)
    values = metadata(model, names, ["serving_default"]) | {
        "format": "litert",
        "quantize": quantize,
        "batch_size": batch_size,
    }
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    write_json(path.with_suffix(".json"), values)
    return path


def _check_arguments(path: pathlib.Path, quantize: Any, batch_size: Any) -> None:
    if path.suffix != ".tflite":
        raise ValueError(f"Expected a path that ends in .tflite. Received: '{path}'.")
    if quantize not in QUANTIZATIONS:
        raise ValueError(
            f"Expected `quantize` to be one of {QUANTIZATIONS}. Received: quantize={quantize!r}."
        )
    if batch_size is not None and (
        isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1
    ):
        raise ValueError(
            "Expected `batch_size` to be None or an integer of at least 1. "
            f"Received: batch_size={batch_size!r}."
        )


def _in_float32(model: Any) -> Any:
    """Returns the model, or the same weights in a model that computes in float32."""
    if {layer.compute_dtype for layer in model.layers} <= {"float32"}:
        return model
    config = model.get_config()
    config["dtype"] = "float32"
    if "lead" in config:
        raise ValueError(
            "Expected a float32 model, or one without layers of its own before the patches. "
            f"Received: {model.name!r} of policy {model.dtype_policy.name!r}."
        )
    from keras_vit.vision_transformer import VisionTransformer

    copy = VisionTransformer(
        model.config,
        classifier_activation=model.classifier_activation,
        preprocessing=model.preprocessing,
        name=model.name,
        dtype="float32",
    )
    copy.set_weights(model.get_weights())
    return copy


def _convert(model: Any, quantize: str | None, batch_size: int | None) -> bytes:
    import tensorflow as tf

    from keras_vit.export.graph import ServedModel

    served = ServedModel(model, [], 1, None)
    signature = served.all_outputs(batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(served.module, scratch, signatures={"serving_default": signature})
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch)
        if quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def _interpreter(content: bytes) -> Any:
    """LiteRT's own interpreter where it is installed, else the older one within TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    return Interpreter(model_content=content)


def _compare(model: Any, content: bytes, quantize: str | None, batch_size: int | None) -> None:
    from keras_vit.export.agreement import model_outputs

    height, width = model.preprocessing.size
    shape = (batch_size or 2, height, width, model.config.in_channels)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    try:
        outputs = _interpreter(content).get_signature_runner("serving_default")(images=images)
    except Exception as error:
        raise RuntimeError(f"The LiteRT file does not run: {error}") from error
    for name, expected in model_outputs(model, images).items():
        error = np.abs(outputs[name] - expected).max() / max(np.abs(expected).max(), 1e-6)
        if not error <= _TOLERANCES[quantize]:
            raise RuntimeError(
                f"Expected `{name}` of the LiteRT file within {_TOLERANCES[quantize]} of the "
                f"model's, relative to the largest value. Received: {error:.3g}."
            )
