"""Exported files in their own runtimes: float32 images in, float32 outputs by name out.

Each runner is imported and set up by its function, which returns a function of prepared images
`(batch, height, width, channels)` to a dictionary of arrays `(batch, ...)`.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

Runner = Callable[[np.ndarray], dict[str, np.ndarray]]


def cores() -> int:
    """Returns the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def saved_model_runner(folder: str | os.PathLike) -> Runner:
    """Loads a SavedModel version with TensorFlow alone.

    Args:
        folder: the version folder.

    Returns:
        A runner of `serving_default`.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))  # the signature needs it alive
    function = loaded.signatures["serving_default"]

    def run(images: np.ndarray, loaded=loaded) -> dict[str, np.ndarray]:
        outputs = function(images=tf.constant(images))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def litert_runner(path: str | os.PathLike) -> Runner:
    """Loads a LiteRT file; images are run one full batch at a time where the file has a fixed one.

    Args:
        path: the `.tflite` file.

    Returns:
        A runner.
    """
    return interpreter_runner(litert_interpreter(pathlib.Path(path).read_bytes()))


def litert_interpreter(content: bytes) -> Any:
    """LiteRT's own interpreter where it is installed, else the older one within TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    return Interpreter(model_content=content, num_threads=cores())


def interpreter_runner(interpreter: Any) -> Runner:
    """Makes a runner of a LiteRT interpreter."""
    function = interpreter.get_signature_runner("serving_default")
    shape = function.get_input_details()["images"]["shape_signature"]
    size = int(shape[0])

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        if size < 0:
            return {name: value.copy() for name, value in function(images=images).items()}
        return _in_batches(lambda batch: function(images=batch), images, size)

    return run


def onnx_runner(path: str | os.PathLike) -> Runner:
    """Loads an ONNX file with ONNX Runtime on the CPU.

    Args:
        path: the `.onnx` file.

    Returns:
        A runner.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    size = session.get_inputs()[0].shape[0]

    def run_batch(images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {"images": images}), strict=True))

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return _in_batches(run_batch, images, size) if isinstance(size, int) else run_batch(images)

    return run


def openvino_runner(path: str | os.PathLike, precision: str = "f32") -> Runner:
    """Loads an OpenVINO model on the CPU.

    Args:
        path: the `.xml` file, its `.bin` beside it.
        precision: `"f32"`, or `"bf16"`, which is about twice as fast where the processor has it.

    Returns:
        A runner.
    """
    import openvino

    compiled = openvino.Core().compile_model(
        str(path), "CPU", {"INFERENCE_PRECISION_HINT": precision}
    )
    dimension = compiled.inputs[0].get_partial_shape()[0]

    def run_batch(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compiled({"images": images})
        return {key.any_name: np.array(value) for key, value in outputs.items()}

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        if dimension.is_dynamic:
            return run_batch(images)
        return _in_batches(run_batch, images, dimension.get_length())

    return run


def _in_batches(run: Runner, images: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Runs batches of one size, the last one filled up with zeros, and cuts the outputs."""
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, max(len(images), 1), size):
        batch = images[start : start + size]
        missing = size - len(batch)
        if missing:
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
        parts.append({name: np.array(value) for name, value in run(batch).items()})
    return {
        name: np.concatenate([part[name] for part in parts])[: len(images)] for name in parts[0]
    }
