"""Processes that take the steps of one training run together.

Each reads a command a line, `step N`, and answers with a line of JSON, as `worker.py` does.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import socket
import sys
import time
from typing import Any

from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work
from keras_vit.benchmark.worker import ANSWER


class Group:
    """The processes of one setting.

    Args:
        work: what is trained; its batch is that of all replicas together.
        strategy: name for `keras_vit.training.strategies.make_strategy`.
        count: replicas of one process, or workers of `"multi_worker"`.
    """

    def __init__(self, work: Work, strategy: str, count: int):
        order = json.dumps({"work": dataclasses.asdict(work), "strategy": strategy, "count": count})
        environments: list[dict[str, str]] = [{}]
        if strategy == "multi_worker":
            addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
            environments = [
                {
                    "TF_CONFIG": json.dumps(
                        {
                            "cluster": {"worker": addresses},
                            "task": {"type": "worker", "index": index},
                        }
                    )
                }
                for index in range(count)
            ]
        self._members = [
            Worker(work, module=__name__, order=order, environment=environment)
            for environment in environments
        ]
        self._pool = concurrent.futures.ThreadPoolExecutor(len(self._members))

    def read(self) -> list[dict[str, Any]]:
        """Waits for the next answer of every process.

        Raises:
            RuntimeError: one of them ended; all are stopped.
        """
        return self._all(lambda member: member.read())

    def step(self, count: int) -> float:
        """Takes some steps and returns the seconds of one, by the slowest process.

        Args:
            count: how many.

        Raises:
            RuntimeError: a process ended; all are stopped.
        """
        answers = self._all(lambda member: member.ask(f"step {count}"))
        return max(answer["seconds"] for answer in answers) / count

    def _all(self, function: Any) -> list[dict[str, Any]]:
        """Does the same with every process at once; those left of a broken group would wait."""
        futures = [self._pool.submit(function, member) for member in self._members]
        done, waiting = concurrent.futures.wait(
            futures, return_when=concurrent.futures.FIRST_EXCEPTION
        )
        errors = [future.exception() for future in done if future.exception() is not None]
        if errors:
            for member in self._members:
                member.kill()
            concurrent.futures.wait(waiting)
            raise errors[0]
        return [future.result() for future in futures]

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown()
        for member in self._members:
            member.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def loopback_bytes() -> int | None:
    """Returns the bytes sent over the loopback device so far; None where Linux does not tell."""
    try:
        with open("/proc/net/dev", encoding="ascii") as file:
            line = next(line for line in file if line.strip().startswith("lo:"))
        return int(line.split(":")[1].split()[8])
    except (OSError, StopIteration):
        return None


def serve(text: str) -> None:
    """Builds and compiles a model under a strategy and takes steps on request.

    Args:
        text: JSON with `work` (a `Work` as JSON), `strategy` and `count`.
    """

    def answer(**values: Any) -> None:
        print(ANSWER + json.dumps(values), flush=True)

    order = json.loads(text)
    step = _training_step(Work(**order["work"]), order["strategy"], order["count"])
    for _ in range(2):
        step()
    answer(ready=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line.split()[1])):
            step()
        answer(seconds=time.perf_counter() - start)


def _training_step(work: Work, name: str, count: int) -> Any:
    """Returns a function that takes one step of AdamW and waits for its loss."""
    from keras_vit.training.strategies import make_strategy

    strategy = make_strategy(name, replicas=count if name == "mirrored" else None)
    import keras
    import tensorflow as tf

    import keras_vit
    from keras_vit.benchmark.subjects import random_batch, set_keras_policy

    set_keras_policy(work.dtype)
    options = {"classes": 1000, "classifier_activation": None, **work.options}
    with strategy.scope():
        model = getattr(keras_vit, work.model)(**options)
        model.compile(
            keras.optimizers.AdamW(1e-4),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def of_worker(context):
        size = context.get_per_replica_batch_size(work.batch_size)
        batch = random_batch(size, model.config.image_size)
        return tf.data.Dataset.from_tensors(batch).repeat()

    batches = strategy.distribute_datasets_from_function(of_worker)
    model.fit(batches, steps_per_epoch=1, epochs=1, verbose=0)
    iterator = iter(batches)
    return lambda: float(model.train_function(iterator)["loss"])
