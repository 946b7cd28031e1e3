"""A model for phones and small CPUs: one LiteRT file (`.tflite`), quantised on request."""

from __future__ import annotations

import os
import pathlib
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.applications.model_files import in_float32
from keras_vit.export.beside import (
    check_batch_size,
    check_path,
    write_metadata,
    writing_beside,
)
from keras_vit.export.comparison import compare
from keras_vit.export.runtimes import litert_runner
from keras_vit.export.serving import check_model, label_names, metadata

QUANTIZATIONS = (None, "float16", "int8", "int8_static")
MAX_REPRESENTATIVE = 200
# What static integers leave in float32: everything but the products with weight matrices. Integers
# there cost most of the agreement (norms, attention) and make the file slower than float32.
_FLOAT_OPERATIONS = (
    "ADD", "BATCH_MATMUL", "BROADCAST_TO", "CONCATENATION", "DIV", "GATHER", "GELU",
    "L2_NORMALIZATION", "LOG", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "NEG", "ONE_HOT", "PACK",
    "PAD", "PADV2", "POW", "RESHAPE", "RSQRT", "SLICE", "SOFTMAX", "SPLIT", "SQRT",
    "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TOPK_V2", "TRANSPOSE",
)  # fmt: skip
# Of the largest value of an output.
_TOLERANCES = {None: 1e-3, "float16": 0.02, "int8": 0.5, "int8_static": 0.5}


def litert(
    model: Any,
    path: str | os.PathLike,
    quantize: str | None = None,
    *,
    labels: Sequence[str] | None = None,
    batch_size: int | None = None,
    images: Any = None,
) -> pathlib.Path:
    """Writes a model as a LiteRT file, read back and compared with the model before it is kept.

    The signature `serving_default` takes `images`, float32 and prepared as `model.preprocessing`
    says, and gives `features` and, with a head, `logits` and `probabilities`, all float32. Only
    LiteRT's own operations are used. Beside the file stands `<file>.json` with config,
    preprocessing and labels. A fixed `batch_size` is faster: LiteRT's quick kernels take no other.

    Args:
        model: a `keras_vit.VisionTransformer`, on Keras's TensorFlow backend; a model of low
            precision is converted in float32.
        path: the file, ending in `.tflite`.
        quantize: None for float32; `"float16"` halves the file, weights being float16; `"int8"`
            quarters it, weights being int8 and the matrix products of integers, with the range of
            each input taken as it comes (dynamic range); `"int8_static"` multiplies by
            weights in integers too, with the ranges of inputs learned from `images`; attention,
            norms and non-linearities stay float32.
        labels: one name for each class, as in `saved_model`.
        batch_size: images at a time; None for any number.
        images: for `"int8_static"`: images like those to come, prepared as the model takes them,
            float32 (count, height, width, channels); some hundred are enough, the first
            `MAX_REPRESENTATIVE` are read.

    Returns:
        The path of the file.

    Raises:
        ValueError: a wrong argument, or a model that `saved_model` would refuse.
        RuntimeError: the file does not run or says something else than the model; none is left.
    """
    path = pathlib.Path(path)
    check_path(path, ".tflite")
    if quantize not in QUANTIZATIONS:
        raise ValueError(
            f"Expected `quantize` to be one of {QUANTIZATIONS}. Received: quantize={quantize!r}."
        )
    check_batch_size(batch_size)
    check_model(model)
    images = _representative(model, quantize, images, batch_size)
    names = label_names(model, labels)
    model = in_float32(model)
    content = _convert(model, quantize, batch_size, images)
    values = metadata(model, names, ["serving_default"]) | {
        "format": "litert",
        "quantize": quantize,
        "batch_size": batch_size,
    }
    with writing_beside(path) as scratch:
        scratch.write_bytes(content)
        write_metadata(scratch, values)
        compare(
            model,
            litert_runner(scratch),
            _TOLERANCES[quantize],
            batch_size=batch_size,
            images=images,
            name="LiteRT file",
        )
    return path


def _representative(model: Any, quantize: Any, images: Any, batch_size: int | None) -> Any:
    """Checks the images that static quantisation needs; None where they are of no use."""
    if quantize != "int8_static":
        if images is not None:
            raise ValueError(
                f'Expected `images` with quantize="int8_static" alone. Received: {quantize!r}.'
            )
        return None
    shape = (*model.preprocessing.size, len(model.preprocessing.mean))
    found = None if images is None else np.asarray(images, "float32")
    if found is None or found.ndim != 4 or found.shape[1:] != shape or not len(found):
        received = "none" if found is None else f"an array of shape {found.shape}"
        raise ValueError(
            f"Expected `images` (count, {', '.join(map(str, shape))}), prepared as the model takes "
            f'them, for quantize="int8_static". Received: {received}.'
        )
    size = batch_size or 1
    if len(found) < size:
        raise ValueError(
            f"Expected at least a batch of {size} `images`. Received: {len(found)} images."
        )
    return found[: max(MAX_REPRESENTATIVE // size * size, size)]


def _convert(model: Any, quantize: str | None, batch_size: int | None, images: Any = None) -> bytes:
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
        if quantize == "int8_static":
            return _convert_static(converter, images, batch_size or 1)
        return converter.convert()


def _convert_static(converter: Any, images: np.ndarray, size: int) -> bytes:
    import tensorflow as tf

    def batches():
        for start in range(0, len(images) - size + 1, size):
            yield {"images": images[start : start + size]}

    converter.representative_dataset = batches
    with warnings.catch_warnings():  # TensorFlow's own use of its old interpreter
        warnings.simplefilter("ignore")
        quantizer = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=batches,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=list(_FLOAT_OPERATIONS)
            ),
        )
        return quantizer.get_nondebug_quantized_model()
