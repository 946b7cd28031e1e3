"""A model for OpenVINO: its graph in `.xml`, its weights in `.bin`."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from keras_vit.applications.model_files import in_float32
from keras_vit.export.beside import (
    check_batch_size,
    check_path,
    write_metadata,
    writing_beside,
)
from keras_vit.export.comparison import compare
from keras_vit.export.runtimes import openvino_runner
from keras_vit.export.serving import check_model, label_names, metadata

_TOLERANCE = 1e-3  # of the largest value of an output


def openvino(
    model: Any,
    path: str | os.PathLike,
    *,
    labels: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> pathlib.Path:
    """Writes a model in OpenVINO's own form, run by OpenVINO and compared before it is kept.

    The model takes `images`, float32 and prepared as `model.preprocessing` says, and gives
    `features` and, with a head, `logits` and `probabilities`, all float32. Beside `model.xml` stand
    `model.bin` with the weights in float32 and `model.xml.json` with config, preprocessing and
    labels. It is compared in float32. On processors with bfloat16 OpenVINO calculates in that by
    default, faster and less exactly: set `INFERENCE_PRECISION_HINT` to `f32` for float32.

    Args:
        model: a `keras_vit.VisionTransformer`, on Keras's TensorFlow backend; a model of low
            precision is converted in float32.
        path: the file, ending in `.xml`.
        labels: one name for each class, as in `saved_model`.
        batch_size: images at a time; None for any number.

    Returns:
        The path of the `.xml` file.

    Raises:
        ImportError: openvino is missing: `pip install "keras-vit[export]"`.
        ValueError: a wrong argument, or a model that `saved_model` would refuse.
        RuntimeError: the files do not run or say something else than the model; none is left.
    """
    path = pathlib.Path(path)
    check_path(path, ".xml")
    check_batch_size(batch_size)
    check_model(model)
    names = label_names(model, labels)
    model = in_float32(model)
    values = metadata(model, names, ["serving_default"])
    values |= {"format": "openvino", "quantize": None, "batch_size": batch_size}
    converted = _convert(model, batch_size)
    with writing_beside(path) as scratch:
        import openvino as openvino_package

        openvino_package.save_model(converted, str(scratch), compress_to_fp16=False)
        write_metadata(scratch, values)
        del converted
        runner = openvino_runner(scratch)
        compare(model, runner, _TOLERANCE, batch_size=batch_size, name="OpenVINO model")
        del runner
    return path


def _convert(model: Any, batch_size: int | None) -> Any:
    import openvino as openvino_package
    import tensorflow as tf

    from keras_vit.export.graph import ServedModel

    served = ServedModel(model, [], 1, None)
    signature = served.all_outputs(batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        tf.saved_model.save(served.module, scratch, signatures={"serving_default": signature})
        # Not convert_model, which tries every framework and reports its use to Intel.
        return openvino_package.Core().read_model(scratch)
