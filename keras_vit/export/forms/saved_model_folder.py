"""A SavedModel for TF Serving: prepared images or encoded ones in, probabilities and labels out."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_vit.checks import check_int
from keras_vit.export.agreement import Difference, differences
from keras_vit.export.deployment import served_name, write_deployment
from keras_vit.export.exportable import Exportable
from keras_vit.export.form import Form, write_form
from keras_vit.export.metadata import read_metadata
from keras_vit.export.runtimes import Runner
from keras_vit.export.warmup import encode_png, sample_requests, write_warmup

# What calls back into the Python that wrote the graph.
_PYTHON_OPERATIONS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def saved_model(
    model: Any,
    path: str | os.PathLike,
    *,
    labels: Sequence[str] | None = None,
    top_k: int = 5,
) -> pathlib.Path:
    """Writes a model as `<path>/<version>/`, ready for TF Serving or any TensorFlow runtime.

    Signatures, all with a batch of any size, 0 included, and float32 outputs whatever the policy
    of the model:

    - `serving_default`: `images`, prepared as `model.preprocessing` says, to `logits` and
      `probabilities` (batch, classes): the output of the model, or of its logits the softmax, or
      the sigmoid where an image may have several classes or there is one. Of a regression, to
      `values` (batch, values); without a head, to `features`.
    - `embed`: `images` to `features` (batch, features), the vector that the head reads.
    - `classify_bytes`, with a head and 1 or 3 channels: `image_bytes`, strings (batch,), JPEG, PNG,
      GIF, BMP or WebP, to `classes` (int32), `scores`, `labels` (batch, k), best first, and
      `valid` (batch,). An image that is broken, an animated WebP, longer than 32 MiB or larger than
      `keras_vit.images.pillow_decoding.MAX_PIXELS` has class -1, score 0, label "" and valid
      False; it does not touch the others. Of a regression `values` (batch, values), NaN for such
      an image, and `valid`.

    Each weight is stored once. `assets/labels.txt` lists the labels; `metadata.json` holds config,
    preprocessing, labels and signatures; `assets.extra` a request for each signature, which TF
    Serving replays as it loads the model. The folder appears under the next free number when it is
    whole, its graph loaded as the server does and compared with the model; a version that exists is
    never touched. Beside the versions stand `SERVING.md`, which says how to serve them,
    `compose.yaml`, `models.config` and `batching_parameters.txt`, kept if they are there.

    Args:
        model: a `keras_vit.VisionTransformer`, or a functional or sequential model with one inside,
            on Keras's TensorFlow backend.
        path: folder of the versions, made if there is none.
        labels: one name for each class; None for ImageNet's own with 1000 or 21,843 classes, and
            for the number of each class otherwise.
        top_k: classes that `classify_bytes` names; all of them where there are fewer.

    Returns:
        The version folder.

    Raises:
        ValueError: not such a model, another backend, wrong `labels` or `top_k`, or a
            preprocessing that makes images of another shape than the model takes.
        RuntimeError: the graph does not run or says something else than the model; none is left.
    """
    check_int("top_k", top_k, 1)

    def make(exportable: Exportable, folder: pathlib.Path, names: list[str]) -> dict[str, Any]:
        signatures = _save(exportable, folder, names, top_k)
        write_warmup(folder, served_name(path), sample_requests(exportable, list(signatures)))
        outputs = signatures["serving_default"].structured_outputs
        return {"signatures": sorted(signatures), "outputs": sorted(outputs)}

    exportable = Exportable.of(model)
    published = write_form(SAVED_MODEL, exportable, path, make, labels=labels)
    write_deployment(path, exportable.model.inputs[0].shape, read_metadata(published))
    return published


def _save(
    exportable: Exportable, folder: pathlib.Path, names: list[str], top_k: int
) -> dict[str, Any]:
    """Writes the graph and returns its signatures."""
    import tensorflow as tf

    from keras_vit.export.graph import signatures, weights_of

    module, functions = weights_of(exportable), signatures(exportable, names, top_k)
    with tempfile.TemporaryDirectory() as scratch:
        if names:
            asset = pathlib.Path(scratch) / "labels.txt"
            asset.write_text("".join(f"{name}\n" for name in names), "utf-8")
            module.labels_asset = tf.saved_model.Asset(str(asset))
        tf.saved_model.save(module, str(folder), signatures=functions)
    return functions


def _run(folder: str | os.PathLike) -> Runner:
    """Loads a version with TensorFlow alone."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))  # the signature needs it alive
    function = loaded.signatures["serving_default"]

    def run(images: np.ndarray, loaded=loaded) -> dict[str, np.ndarray]:
        outputs = function(images=tf.constant(images))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def _differences(
    exportable: Exportable, folder: pathlib.Path, pictures: np.ndarray
) -> Iterator[Difference]:
    """Compares all signatures in the graph alone, as the server loads it: no object of Python's."""
    prepared = exportable.prepare(pictures)
    encoded = np.array([*map(encode_png, pictures), b"no image"], object)
    # Most of the time goes into making the two graphs: side by side, in TensorFlow's own code.
    with _session(folder) as run, ThreadPoolExecutor(1) as pool:
        classified = pool.submit(run, {"classify_bytes": {"image_bytes": encoded}})

        def run_prepared(images: np.ndarray) -> dict[str, np.ndarray]:
            return run({"embed": {"images": images}, "serving_default": {"images": images}})

        yield from differences(run_prepared, exportable, prepared)
        run_prepared(prepared[:0])
        if answer := classified.result():
            yield from _answer_differences(answer, run_prepared(prepared)[exportable.told])


@contextlib.contextmanager
def _session(folder: pathlib.Path) -> Iterator[Callable[..., dict[str, np.ndarray]]]:
    """Gives a function that runs signatures at once: their inputs to their outputs, by name.

    A signature that the SavedModel does not have is left out.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    file = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (meta,) = file.meta_graphs
    _check_operations(meta.graph_def)
    with contextlib.closing(tf.compat.v1.Session(graph=tf.Graph())) as session:
        with session.graph.as_default():
            tf.import_graph_def(meta.graph_def, name="")
        saver = meta.saver_def
        variables = str(folder / "variables" / "variables")
        session.run(saver.restore_op_name, {saver.filename_tensor_name: variables})

        def run(inputs: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
            fetched, fed = {}, {}
            for name in inputs.keys() & meta.signature_def.keys():
                signature = meta.signature_def[name]
                fetched |= {key: tensor.name for key, tensor in signature.outputs.items()}
                fed |= {signature.inputs[key].name: v for key, v in inputs[name].items()}
            return session.run(fetched, fed)

        yield run


def _check_operations(graph: Any) -> None:
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    found = {node.op for node in nodes} & _PYTHON_OPERATIONS
    if found:
        raise RuntimeError(
            "Expected a graph of TensorFlow's own operations, which run without Python. "
            f"Received: {sorted(found)}."
        )


def _answer_differences(
    answer: dict[str, np.ndarray], expected: np.ndarray
) -> Iterator[Difference]:
    count = len(expected)
    scores = np.nan_to_num(answer["values"] if "values" in answer else answer["scores"])
    if list(answer["valid"]) != [True] * count + [False] or scores[-1].any():
        raise RuntimeError(
            f"Expected {count} good images and one broken one. "
            f"Received: valid={list(answer['valid'])}."
        )
    scores = scores[:count]
    if "values" in answer:
        yield Difference.between("values", scores, expected)
        return
    best = np.sort(expected, axis=-1)[:, ::-1][:, : scores.shape[1]]
    yield Difference.between("scores", scores, best)
    of_classes = np.take_along_axis(expected, answer["classes"][:count], axis=-1)
    yield Difference.between("classes", scores, of_classes)


SAVED_MODEL = Form(
    name="saved_model",
    title="SavedModel",
    suffix="",
    write=saved_model,
    run=_run,
    unknown_quantizations=(),
    keeps_precision=True,
    differences=_differences,
)
