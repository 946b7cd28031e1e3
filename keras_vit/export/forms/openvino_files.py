"""A model for OpenVINO: its graph in `.xml`, its weights in `.bin`."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.export.exportable import Exportable
from keras_vit.export.form import Form, write_form
from keras_vit.export.runtimes import Runner, in_batches


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
        model: as `saved_model` takes it; a model of low precision is converted in float32.
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

    def make(exportable: Exportable, file: pathlib.Path, names: list[str]) -> None:
        import openvino as openvino_package

        converted = _convert(exportable, batch_size)
        openvino_package.save_model(converted, str(file), compress_to_fp16=False)

    return write_form(OPENVINO, model, path, make, labels=labels, batch_size=batch_size)


def _convert(exportable: Exportable, batch_size: int | None) -> Any:
    import openvino as openvino_package

    from keras_vit.export.graph import scratch_saved_model

    with scratch_saved_model(exportable, batch_size) as folder:
        # Not convert_model, which tries every framework and reports its use to Intel.
        return openvino_package.Core().read_model(folder)


def _run(path: str | os.PathLike, precision: str = "f32") -> Runner:
    """Loads an OpenVINO model on the CPU."""
    import openvino as openvino_package

    compiled = openvino_package.Core().compile_model(
        str(path), "CPU", {"INFERENCE_PRECISION_HINT": precision}
    )
    dimension = compiled.inputs[0].get_partial_shape()[0]

    def run_batch(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compiled({"images": images})
        return {key.any_name: np.array(value) for key, value in outputs.items()}

    return in_batches(run_batch, None if dimension.is_dynamic else dimension.get_length())


OPENVINO = Form(
    name="openvino",
    title="OpenVINO model",
    suffix=".xml",
    write=openvino,
    run=_run,
    needs=("openvino",),
    companions=(".bin",),
    precisions=("f32", "bf16"),
    tolerance=1e-4,
)
