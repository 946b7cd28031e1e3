"""A model for phones and small CPUs: one LiteRT file (`.tflite`), quantised on request."""

import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.checks import check_choice
from keras_vit.export.exportable import Exportable
from keras_vit.export.form import Form, write_form
from keras_vit.export.runtimes import Runner, cores, in_batches

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
_TOLERANCES = {None: None, "float16": 0.02, "int8": 0.5, "int8_static": 0.5}


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
        model: as `saved_model` takes it; a model of low precision is converted in float32.
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
    check_choice("quantize", quantize, QUANTIZATIONS)
    if quantize == "int8_static":
        images = _representative(Exportable.of(model), images, batch_size or 1)
    elif images is not None:
        raise ValueError(
            f'Expected `images` with quantize="int8_static" alone. Received: {quantize!r}.'
        )

    def make(exportable: Exportable, file: pathlib.Path, names: list[str]) -> None:
        file.write_bytes(_convert(exportable, quantize, batch_size, images))

    return write_form(
        LITERT,
        model,
        path,
        make,
        labels=labels,
        batch_size=batch_size,
        tolerance=_TOLERANCES[quantize],
        images=None if images is None else images[:3],
        quantize=quantize,
    )


def _representative(exportable: Exportable, images: Any, size: int) -> np.ndarray:
    """Checks the images that static quantisation needs."""
    shape = exportable.image_shape
    found = None if images is None else np.asarray(images, "float32")
    if found is None or found.ndim != 4 or found.shape[1:] != shape or not len(found):
        received = "none" if found is None else f"an array of shape {found.shape}"
        raise ValueError(
            f"Expected `images` (count, {', '.join(map(str, shape))}), prepared as the model takes "
            f'them, for quantize="int8_static". Received: {received}.'
        )
    if len(found) < size:
        raise ValueError(
            f"Expected at least a batch of {size} `images`. Received: {len(found)} images."
        )
    return found[: max(MAX_REPRESENTATIVE // size * size, size)]


def _convert(
    exportable: Exportable, quantize: str | None, batch_size: int | None, images: Any = None
) -> bytes:
    import tensorflow as tf

    from keras_vit.export.graph import all_outputs, weights_of

    function, weights = all_outputs(exportable, batch_size), weights_of(exportable)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], weights)
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


def interpreter(content: bytes) -> Any:
    """LiteRT's own interpreter where it is installed, else the older one within TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    return Interpreter(model_content=content, num_threads=cores())


def _run(path: str | os.PathLike) -> Runner:
    """Loads a LiteRT file; images are run one full batch at a time where it has a fixed one."""
    loaded = interpreter(pathlib.Path(path).read_bytes())
    function = loaded.get_signature_runner("serving_default")
    size = int(function.get_input_details()["images"]["shape_signature"][0])

    def run_batch(images: np.ndarray) -> dict[str, np.ndarray]:
        # The arrays are the interpreter's own, which the next call overwrites.
        return {name: value.copy() for name, value in function(images=images).items()}

    return in_batches(run_batch, size if size > 0 else None)


LITERT = Form(
    name="litert",
    title="LiteRT file",
    suffix=".tflite",
    write=litert,
    run=_run,
)
