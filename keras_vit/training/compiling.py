"""Whether XLA compiles the training step: what is faster here, as a short race says."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Seconds of training to come from which on a race, most of which is compiling, is worth it.
WORTH_SECONDS = 120.0
_FEWEST_STEPS = 200
# Bytes of weights up to which there is a race: it holds a copy of them and of the moments. In the
# steps of larger models nearly all time is in matrix products, which XLA does not make faster.
_MOST_BYTES = 2**27
_ROUNDS, _STEPS = 3, 3
_MARGIN = 0.97  # of the plain step's time, under which XLA has won


@dataclasses.dataclass(frozen=True)
class Compiling:
    """How the step is run, and why.

    Attributes:
        xla: whether XLA compiles it as a whole.
        why: the reason, in words.
    """

    xla: bool
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments."""
        return dataclasses.asdict(self)


def compile_step(
    network: keras.Model, batches: Any, steps: int, record: dict[str, Any], shows: bool
) -> None:
    """Makes the function that trains as the record of a run says, or a race that it then holds."""
    if record["compiling"] is None:
        record["compiling"] = choose_compiling(network, batches, steps).to_dict()
    chosen = Compiling(**record["compiling"])
    if network.distribute_strategy.num_replicas_in_sync == 1:
        use(network, chosen)
    if chosen.xla and shows:
        print(f"XLA compiles the step: {chosen.why}.", flush=True)


def choose_compiling(network: keras.Model, batches: Any, steps: int) -> Compiling:
    """Runs some steps of both kinds in turn, and undoes them.

    Args:
        network: compiled; weights, random state and optimizer are the same bits afterwards.
        batches: what it will be trained on; only shapes and types are looked at.
        steps: optimizer steps to come.

    Returns:
        What was faster; without XLA where a race could not pay, or XLA cannot compile the step.
    """
    spec = getattr(batches, "element_spec", None)
    shapes = [part.shape for part in tf.nest.flatten(spec) if isinstance(part, tf.TensorSpec)]
    if network.distribute_strategy.num_replicas_in_sync > 1 or not shapes:
        return Compiling(False, "several replicas")
    if steps < _FEWEST_STEPS or not all(shape.is_fully_defined() for shape in shapes):
        return Compiling(False, "too few steps to pay for compiling")
    if 4 * sum(math.prod(weight.shape) for weight in network.weights) > _MOST_BYTES:
        return Compiling(False, "a large model, whose time is in matrix products")
    network.optimizer.build(network.trainable_variables)
    variables = [*network.variables, *network.optimizer.variables]
    values = [np.array(variable.value) for variable in variables]
    try:
        return _race(network, spec, steps)
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        network.reset_metrics()


def use(network: keras.Model, chosen: Compiling) -> None:
    """Makes the function that trains, on endless batches; what evaluates stays without XLA."""
    before, network.jit_compile = network.jit_compile, chosen.xla
    try:
        network.make_train_function(force=True)
    finally:
        network.jit_compile = before
    # Keras reads an iterator of TensorFlow within a function around that of the step, to which it
    # hands all weights; any other it reads before. On a small model that saves a tenth of the time.
    train = network.train_function
    network.train_function = lambda iterator: train(batch for batch in iterator)


def _race(network: keras.Model, spec: Any, steps: int) -> Compiling:
    plain = _stepper(network, spec, Compiling(False, ""))
    plain()
    seconds = statistics.median(_timed(plain) for _ in range(3))
    if seconds * steps < WORTH_SECONDS:
        return Compiling(False, f"{seconds * steps:.0f} s of steps do not pay for compiling")
    compiled = _stepper(network, spec, Compiling(True, ""))
    try:
        compiled()
    except (tf.errors.OpError, ValueError, TypeError) as error:
        return Compiling(False, f"XLA cannot compile the step ({type(error).__name__})")
    runs: dict[Any, list[float]] = {plain: [], compiled: []}
    for _ in range(_ROUNDS):
        for run, times in runs.items():
            times += [_timed(run) for _ in range(_STEPS)]
    plain_s, compiled_s = (statistics.median(times) for times in runs.values())
    won = compiled_s < _MARGIN * plain_s
    times = f"{1000 * compiled_s:.3g} ms a step with XLA, {1000 * plain_s:.3g} without"
    return Compiling(won, times)


def _stepper(network: keras.Model, spec: Any, chosen: Compiling) -> Callable[[], Any]:
    """Returns what runs one step on a batch of no meaning, and waits for it."""
    use(network, chosen)
    train, made = network.train_function, tf.nest.map_structure(_made_up, spec)
    batches = iter(tf.data.Dataset.from_tensors(made).repeat())
    return lambda: tf.nest.map_structure(np.asarray, train(batches))


def _made_up(spec: tf.TensorSpec) -> tf.Tensor:
    if spec.dtype.is_floating:
        return tf.cast(tf.fill(spec.shape, 0.5), spec.dtype)
    return tf.zeros(spec.shape, spec.dtype)


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
