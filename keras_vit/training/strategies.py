"""Training on several devices and machines: the strategy, its data and its workers.

A model trains under the strategy in whose scope it was built; `train` reads it from the model.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_vit.data.dataset import Split
from keras_vit.data.pipeline import evaluation_batches, training_batches
from keras_vit.images.spec import Preprocessing

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")


class WorkerLostError(RuntimeError):
    """Another worker has stopped answering; the message says how to go on."""


def make_strategy(name: str = "none", *, replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes a strategy; build the model in its `scope()`.

    Args:
        name: `"none"` for one device; `"mirrored"` for all GPUs of this machine, or its processor
            in parts; `"multi_worker"` for the machines that the environment variable `TF_CONFIG`
            names; `"tpu"` for the TPU that this machine is connected to (written after TensorFlow's
            documentation, and never run by the authors).
        replicas: for `"mirrored"`, the number of GPUs, or of parts of the processor where there is
            no GPU; None for all GPUs. Parts of the processor share its cores: they show that a
            script is right and save no time.

    Returns:
        The strategy.

    Raises:
        ValueError: an unknown name, or more replicas than there are devices.
        RuntimeError: TensorFlow already runs, so that the processor cannot be parted any more.
    """
    if name not in STRATEGIES:
        raise ValueError(f"Expected a strategy, one of {STRATEGIES}. Received: {name!r}.")
    if replicas is not None and (name != "mirrored" or replicas < 1):
        raise ValueError(
            "Expected `replicas` of at least 1, and only for 'mirrored'. "
            f"Received: {replicas!r} for {name!r}."
        )
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        return tf.distribute.TPUStrategy(resolver)
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices(replicas))
    return tf.distribute.get_strategy()


def _devices(replicas: int | None) -> list[str]:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        count = replicas or len(gpus)
        if count > len(gpus):
            raise ValueError(
                f"Expected at most {len(gpus)} replicas, one a GPU. Received: {count}."
            )
        return [f"GPU:{index}" for index in range(count)]
    count = replicas or 1
    if count > 1:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, parts)
    return [f"CPU:{index}" for index in range(count)]


class Cluster:
    """What a run needs to know of the strategy of its model.

    Args:
        model: built in the scope of its strategy.

    Attributes:
        strategy: of the model.
        num_workers: processes that train together.
        worker: which of them this is, from 0.
        is_chief: whether this process writes the files of the run.
    """

    def __init__(self, model: keras.Model):
        self.strategy: tf.distribute.Strategy = model.distribute_strategy
        replicas, self._local_replicas = self.strategy.num_replicas_in_sync, 1
        if replicas > 1:
            self._local_replicas = len(self.strategy.extended.worker_devices)
        self.num_workers = replicas // self._local_replicas
        resolver = self.strategy.cluster_resolver
        self.worker = resolver.task_id if self.num_workers > 1 else 0
        self.is_chief = self.worker == 0
        self._scratch: Any = None

    def output_dir(self, folder: Path) -> Path:
        """Returns where this process writes: the folder, or one of its own that is thrown away."""
        if self.is_chief:
            return folder
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="keras_vit_worker_")
        return Path(self._scratch.name)

    def check_batch(self, batch_size: int) -> None:
        """Refuses a batch that the replicas cannot share evenly."""
        replicas = self.strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise ValueError(
                f"Expected a batch that is a multiple of the {replicas} replicas. "
                f"Received: {batch_size}."
            )

    def training_batches(
        self, split: Split, preprocessing: Preprocessing, *, batch_size: int, **arguments: Any
    ) -> Any:
        """Makes the batches of all replicas, as `keras_vit.data.training_batches` does."""
        self.check_batch(batch_size)
        return self._distributed(
            training_batches,
            lambda batches, context: batches.rebatch(
                context.get_per_replica_batch_size(batch_size)
            ),
            (split, preprocessing),
            {"batch_size": batch_size, **arguments},
        )

    def evaluation_batches(
        self, split: Split, preprocessing: Preprocessing, *, batch_size: int, **arguments: Any
    ) -> Any:
        """Makes one pass over a split, each image on one replica; the batch is that of all of them.

        All replicas take the same number of steps; one that has no image left gets empty batches.
        """
        replicas = self.strategy.num_replicas_in_sync
        size = -(-batch_size // replicas)

        def in_step(batches, context):
            shards = context.num_input_pipelines
            largest = -(-split.num_examples // shards)  # images of worker 0
            a_step = size * (replicas // shards)
            return exactly(batches, -(-largest // a_step) * (replicas // shards))

        return self._distributed(
            evaluation_batches, in_step, (split, preprocessing), {"batch_size": size, **arguments}
        )

    def _distributed(self, make: Callable, finish: Callable, given: tuple, arguments: dict) -> Any:
        """Gives each worker its part of a data set; the only replica gets it as it is."""
        if self.strategy.num_replicas_in_sync == 1:
            return make(*given, **arguments)

        def of_worker(context):
            shard = {
                "num_shards": context.num_input_pipelines,
                "shard_index": context.input_pipeline_id,
            }
            return finish(make(*given, **arguments, **shard), context)

        return self.strategy.distribute_datasets_from_function(of_worker)

    def total(self, value: float) -> float:
        """Adds a number over all workers; each has to call it. One worker gets its own back."""
        if self.num_workers == 1:
            return value
        if not hasattr(self, "_total"):

            @tf.function(input_signature=[tf.TensorSpec([], tf.float32)], autograph=False)
            def total(value):
                def add():
                    context = tf.distribute.get_replica_context()
                    # A copy made here has the device of the replica, which the sum needs to know.
                    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

                results = self.strategy.experimental_local_results(self.strategy.run(add))
                return results[0] / self._local_replicas

            self._total = total
        return float(self._total(tf.constant(value, tf.float32)))

    def check_start(self, start_step: int, folder: Path) -> None:
        """Refuses to start when the workers found different checkpoints in the folder."""
        if self.total(start_step) != start_step * self.num_workers:
            raise ValueError(
                "Expected all workers to find the same checkpoints. Received: worker "
                f"{self.worker} starts after step {start_step}, others elsewhere. Give all of them "
                f"the same '{folder}' on a file system that they share."
            )

    @contextlib.contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Turns TensorFlow's words for a lost worker into an error that says what to do.

        Raises:
            WorkerLostError: another worker has stopped answering.
        """
        lost = (
            tf.errors.UnavailableError,
            tf.errors.AbortedError,
            tf.errors.CancelledError,
            tf.errors.DeadlineExceededError,
            tf.errors.InternalError,
        )
        try:
            yield
        except lost as error:
            if self.num_workers == 1:
                raise
            raise WorkerLostError(
                f"Expected all {self.num_workers} workers to answer. Received: "
                f"{type(error).__name__} on worker {self.worker}; another one has stopped. The "
                f"checkpoints in '{folder}' are whole: start all workers again to go on."
            ) from error


def exactly(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Adds empty batches until there are `count`.

    Args:
        batches: batches of images with what belongs to them, `count` at most.
        count: of the batches that come out.
    """
    spec = batches.element_spec
    empty = tf.nest.map_structure(lambda part: tf.zeros([0, *part.shape[1:]], part.dtype), spec)
    rest = tf.data.Dataset.from_tensors(empty).repeat(count)

    def of_any_size(*values):
        return tf.nest.map_structure(
            lambda value, part: tf.ensure_shape(value, [None, *part.shape[1:]]), values, spec
        )

    return batches.map(of_any_size).concatenate(rest.map(of_any_size)).take(count)
