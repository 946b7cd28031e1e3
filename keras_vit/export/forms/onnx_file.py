"""A model for ONNX Runtime and whatever else reads ONNX: one file, any batch."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.export.exportable import Exportable
from keras_vit.export.form import Form, write_form
from keras_vit.export.runtimes import Runner, cores, in_batches

OPSET = 18
# A protocol buffer ends at 2 GiB; weights beyond this go to a file of their own.
MAX_BYTES_WITHIN = 1_900_000_000


def onnx(
    model: Any,
    path: str | os.PathLike,
    *,
    labels: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> pathlib.Path:
    """Writes a model as an ONNX file, run by ONNX Runtime and compared before it is kept.

    The graph takes `images`, float32 and prepared as `model.preprocessing` says, and gives
    `features` and, with a head, `logits` and `probabilities`, all float32. Weights have the names
    of the model's own. Beside the file stands `<file>.json` with config, preprocessing and labels,
    and, for weights of more than 1.9 GB, `<file>.data` with these.

    Args:
        model: as `saved_model` takes it; a model of low precision is converted in float32.
        path: the file, ending in `.onnx`.
        labels: one name for each class, as in `saved_model`.
        batch_size: images at a time; None for any number.

    Returns:
        The path of the file.

    Raises:
        ImportError: onnx, tf2onnx or onnxruntime is missing: `pip install "keras-vit[export]"`.
        ValueError: a wrong argument, or a model that `saved_model` would refuse.
        RuntimeError: the file does not run or says something else than the model; none is left.
    """

    def make(exportable: Exportable, file: pathlib.Path, names: list[str]) -> None:
        _save(_convert(exportable, batch_size), file)

    return write_form(ONNX, model, path, make, labels=labels, batch_size=batch_size)


def _convert(exportable: Exportable, batch_size: int | None) -> Any:
    """Converts the graph with its weights as inputs, then gives the weights their values.

    So the converter never holds, copies or folds them, which takes minutes for a large model.
    """
    import keras
    from onnx import numpy_helper

    from keras_vit.export.graph import all_outputs

    function = all_outputs(exportable, batch_size)
    definition, reads = _with_weights_as_inputs(function)
    proto = _to_onnx(function, definition, list(reads))
    by_handle = {id(weight.value.handle): weight for weight in exportable.model.weights}
    renamed = {name: by_handle[id(handle)] for name, handle in reads.items()}
    graph = proto.graph
    inputs = {value.name: value for value in graph.input}
    for name, weight in renamed.items():
        if name in inputs:
            graph.input.remove(inputs[name])
            value = keras.ops.convert_to_numpy(weight)
            graph.initializer.append(numpy_helper.from_array(value, weight.path))
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in renamed:
                node.input[index] = renamed[name].path
    _name_batch(graph, batch_size)
    return proto


def _with_weights_as_inputs(function: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the graph of a function, and by the name of each such input the variable's handle."""
    definition = function.graph.as_graph_def(add_shapes=True)
    handles = {inner.op.name: handle for handle, inner in function.graph.captures}
    reads: dict[str, str] = {}
    for node in definition.node:
        if node.op != "ReadVariableOp":
            continue
        (handle,) = node.input[:1]
        dtype = node.attr["dtype"].type
        del node.input[:]
        if handle in reads:  # again
            node.op = "Identity"
            node.input.append(reads[handle])
            node.attr["T"].type = dtype
        else:
            node.op = "Placeholder"
            node.attr["shape"].shape.CopyFrom(node.attr["_output_shapes"].list.shape[0])
            reads[handle] = node.name
    return definition, {name: handles[handle] for handle, name in reads.items()}


def _to_onnx(function: Any, definition: Any, weights: list[str]) -> Any:
    """Does what `tf2onnx.convert.from_function` does, of a graph without variables.

    It leaves out the freezing, and the copies of the graph to which that goes back where one of its
    optimizers fails.
    """
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    names = {"images:0": "images", **{f"{name}:0": name for name in weights}}
    inputs = list(names)
    outputs = {tensor.name: key for key, tensor in function.structured_outputs.items()}
    with tf.Graph().as_default():
        definition = tf_loader.tf_optimize(inputs, list(outputs), definition)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        converted = process_tf_graph(
            graph,
            opset=OPSET,
            input_names=inputs,
            output_names=list(outputs),
            tensors_to_rename=names | outputs,
        )
        return optimizer.optimize_graph(converted, catch_errors=False).make_model(function.name)


def _name_batch(graph: Any, batch_size: int | None) -> None:
    for value in [*graph.input, *graph.output]:
        dimension = value.type.tensor_type.shape.dim[0]
        if batch_size is None:
            dimension.dim_param = "batch"
        else:
            dimension.dim_value = batch_size


def _save(proto: Any, path: pathlib.Path) -> None:
    import onnx as onnx_package

    size = sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
    outside = size > MAX_BYTES_WITHIN
    options = {"save_as_external_data": True, "location": path.name + ".data"} if outside else {}
    onnx_package.save_model(proto, str(path), **options)
    onnx_package.checker.check_model(str(path))


def _run(path: str | os.PathLike) -> Runner:
    """Loads an ONNX file with ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    size = session.get_inputs()[0].shape[0]

    def run_batch(images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {"images": images}), strict=True))

    return in_batches(run_batch, size if isinstance(size, int) else None)


ONNX = Form(
    name="onnx",
    title="ONNX file",
    suffix=".onnx",
    write=onnx,
    run=_run,
    unknown_quantizations=("float8",),
    needs=("onnx", "tf2onnx", "onnxruntime"),
    companions=(".onnx.data",),
)
