"""Where the time of a model goes, operation by operation, as TensorFlow's profiler sees it."""

from __future__ import annotations

import collections
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import matrix_product_flops
from keras_vit.benchmark.subjects import build_keras_vit, build_matrix_product
from keras_vit.benchmark.work import Work
from keras_vit.models.cost import forward_flops
from keras_vit.models.variants import get_variant
from keras_vit.tables import align


def measure_profile(
    model: str = "ViT_B16",
    *,
    command: str = "infer",
    dtype: str = "float32",
    batch_size: int = 8,
    repeats: int = 5,
    **options: Any,
) -> dict[str, Any]:
    """Runs our model under TensorFlow's profiler and adds up the time of its operations by kind.

    Args:
        model: name of a variant.
        command: `"infer"`, or `"train"` for one step of AdamW.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`.
        batch_size: images a batch.
        repeats: runs without the profiler, whose median is the time of the whole, and as many
            under it.
        **options: of the model's factory.

    Returns:
        A dictionary that JSON can hold: the work and the machine; `seconds` of one run;
        `matrix_product_gflops`; and `operations`, longest first, each with `kind`, `count` in a
        run and `milliseconds` a run. Operations that run side by side are counted in full, so
        their sum can exceed the whole.
    """
    subject = build_keras_vit(Work("keras_vit", model, dtype, batch_size, options))
    product = build_matrix_product(Work("matrix_product", dtype=dtype)).infer
    run = getattr(subject, command)
    run(), run(), product()
    seconds, limits = [], []
    for _ in range(repeats):
        limits.append(matrix_product_flops() / _timed(product) / 1e9)
        seconds.append(_timed(run))
    return {
        "model": model,
        "command": command,
        "dtype": dtype,
        "batch_size": batch_size,
        "gflop_per_image": forward_flops(get_variant(model)) / 1e9,
        "machine": describe_machine(),
        "matrix_product_gflops": statistics.median(limits),
        "seconds": statistics.median(seconds),
        "operations": _operations(run, repeats),
    }


def _timed(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _operations(run: Any, repeats: int) -> list[dict[str, Any]]:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(repeats):
                run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        events = _events(path.read_bytes())
    times: collections.Counter = collections.Counter()
    counts: collections.Counter = collections.Counter()
    for kind, milliseconds in events:
        times[kind] += milliseconds / repeats
        counts[kind] += 1
    return [
        {"kind": kind, "count": counts[kind] / repeats, "milliseconds": milliseconds}
        for kind, milliseconds in times.most_common()
    ]


def _events(content: bytes) -> list[tuple[str, float]]:
    """Returns kind and milliseconds of every operation of a trace.

    The profiler names an operation `name:kind`; functions and threads have no kind.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(content)
    found = []
    for plane in space.planes:
        if not plane.name.startswith("/host:CPU"):
            continue
        for event in (event for line in plane.lines for event in line.events):
            name = plane.event_metadata[event.metadata_id].name
            labels = [plane.stat_metadata[stat.metadata_id].name for stat in event.stats]
            kind = name.rpartition(":")[2]
            if ":" in name and "::" not in name and "tf_op" not in labels and kind.isidentifier():
                found.append((kind, event.duration_ps / 1e9))
    return found


def format_profile(result: Mapping[str, Any], *, rows: int = 16) -> str:
    """Formats what `measure_profile` returned.

    Args:
        result: its dictionary.
        rows: kinds of operations that are shown, longest first.
    """
    passes = 3 if result["command"] == "train" else 1
    limit = result["matrix_product_gflops"]
    least = passes * result["batch_size"] * result["gflop_per_image"] / limit
    cells = [("operation", "ms", "times", "of all")]
    for operation in result["operations"][:rows]:
        share = operation["milliseconds"] / 1000 / result["seconds"]
        cells.append(
            (
                operation["kind"],
                f"{operation['milliseconds']:.1f}",
                f"{operation['count']:.0f}",
                f"{share:.1%}",
            )
        )
    header = (
        f"{result['model']}, {result['command']}, {result['dtype']}, batch {result['batch_size']}: "
        f"{1000 * result['seconds']:.0f} ms; {1000 * least:.0f} ms at the {limit:.0f} GFLOP/s of "
        "the bare matrix product"
    )
    return "\n".join([header, *align(cells)])
