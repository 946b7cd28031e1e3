"""From gradients that are the same on all replicas to one update of the weights.

Each function runs in replica context. What changes variables does so from `merge_call`, once for
all replicas. The gradients are sums over the replicas already, so the optimizer's own sum is left
out.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_vit.fitting import keras_internals

# Values of a variable from which on its update is compiled.
COMPILED_FROM = 2**17

_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def clip(gradients: Sequence[tf.Tensor], optimizer: keras.optimizers.Optimizer) -> list[tf.Tensor]:
    """Clips gradients as the optimizer's arguments say; after the sum over replicas.

    Args:
        gradients: of the whole batch, a tensor a variable.
        optimizer: gives `global_clipnorm`, `clipnorm` or `clipvalue`.
    """
    if optimizer.global_clipnorm is not None:
        return list(tf.clip_by_global_norm(gradients, optimizer.global_clipnorm)[0])
    if optimizer.clipnorm is not None:
        return [tf.clip_by_norm(gradient, optimizer.clipnorm) for gradient in gradients]
    if optimizer.clipvalue is not None:
        limit = optimizer.clipvalue
        return [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
    return list(gradients)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
    scales: Sequence[float],
) -> None:
    """Unscales, clips and applies gradients; a step with an overflow in float16 is left out.

    Args:
        optimizer: built on all trainable variables of the model.
        gradients: of the loss as the optimizer scaled it, summed over the replicas.
        variables: what they are the gradients of.
        scales: factor of the learning rate for each variable.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    is_dynamic = inner is not optimizer
    factor = optimizer.dynamic_scale if is_dynamic else optimizer.loss_scale_factor
    if factor is not None:
        gradients = [gradient / tf.cast(factor, gradient.dtype) for gradient in gradients]
    finite = tf.constant(True)
    if is_dynamic:
        checks = [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        finite = tf.reduce_all(tf.stack(checks))
    # With accumulation by the optimizer itself the sum is not complete here: it clips it later.
    own_clipping = not inner.gradient_accumulation_steps
    if own_clipping:
        gradients = clip(gradients, inner)

    def update(strategy, gradients, finite):
        def apply():
            with _borrowed(inner, variables, scales, strategy, without_clipping=own_clipping):
                strategy.run(lambda own: inner.apply(own, variables), args=(gradients,))
            if is_dynamic:
                _grow_loss_scale(optimizer)
            return 0

        def leave_out():
            optimizer.dynamic_scale.assign(optimizer.dynamic_scale / 2.0)
            optimizer.step_counter.assign(0)
            return 0

        if is_dynamic:
            tf.cond(strategy.experimental_local_results(finite)[0], apply, leave_out)
        else:
            apply()

    tf.distribute.get_replica_context().merge_call(update, args=(gradients, finite))


def _compiles_well() -> bool:
    """Says whether to compile the updates of large variables: on one CPU.

    TensorFlow's own operations go through the memory of weights and moments once for each term of
    the optimizer's formula; compiled, they go through it once.
    """
    if tf.executing_eagerly() or tf.distribute.has_strategy():
        return False
    if tf.config.list_physical_devices("GPU"):  # there Keras compiles the whole step
        return False
    return _xla_works()


@functools.cache
def _xla_works() -> bool:
    """Says whether this build of TensorFlow can compile for its CPU."""
    try:
        with tf.init_scope():
            return float(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(1.0))) == 2.0
    except (tf.errors.OpError, ValueError):
        return False


def _grow_loss_scale(optimizer: keras.optimizers.LossScaleOptimizer) -> None:
    """Doubles the loss scale after enough steps without overflow."""
    steps = optimizer.step_counter + 1
    is_time = keras.ops.equal(steps, optimizer.dynamic_growth_steps)
    scale = optimizer.dynamic_scale
    scale.assign(keras.ops.where(is_time, scale * 2.0, scale))
    optimizer.step_counter.assign(keras.ops.where(is_time, 0, steps))


@contextlib.contextmanager
def _borrowed(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    scales: Sequence[float],
    strategy: tf.distribute.Strategy,
    *,
    without_clipping: bool,
) -> Iterator[None]:
    """Takes off an optimizer, while it is traced, what has been done or is done here."""
    taken = {"loss_scale_factor": None, keras_internals.REDUCE_GRADIENTS: lambda pairs: pairs}
    if without_clipping:
        taken |= dict.fromkeys(_CLIPPING)
    is_large = [math.prod(variable.shape) >= COMPILED_FROM for variable in variables]
    compiles = any(is_large) and _compiles_well()
    if compiles or any(scale != 1 for scale in scales):
        taken |= {"weight_decay": None}
        update_step = _scaled_update_step(optimizer, variables, scales, strategy)
        taken |= {"update_step": _compiled(update_step) if compiles else update_step}
    before = {name: vars(optimizer)[name] for name in taken if name in vars(optimizer)}
    try:
        for name, value in taken.items():
            setattr(optimizer, name, value)
        yield
    finally:
        for name in taken:
            if name in before:
                setattr(optimizer, name, before[name])
            else:
                delattr(optimizer, name)


def _scaled_update_step(optimizer, variables, scales, strategy) -> Any:
    """Returns an `update_step` whose learning rate, in step and decay, has a factor a variable."""
    plain, decay = optimizer.update_step, optimizer.weight_decay
    settings = {}
    for variable, scale in zip(variables, scales, strict=True):
        decays = decay is not None and keras_internals.uses_weight_decay(optimizer, variable)
        for copy in strategy.experimental_local_results(variable.value):
            settings[id(copy)] = (scale, decay if decays else 0.0)

    def update_step(gradient, variable, learning_rate):
        scale, decay = settings[id(variable)]
        rate = tf.cast(learning_rate, variable.dtype) * tf.cast(scale, variable.dtype)
        if decay:
            variable.assign_sub(variable * tf.cast(decay, variable.dtype) * rate)
        plain(gradient, variable, rate)

    return update_step


def _compiled(update_step: Any) -> Any:
    """Returns the `update_step` whose large variables are updated by one kernel each."""

    def compiled_update_step(gradient, variable, learning_rate):
        if math.prod(variable.shape) < COMPILED_FROM:
            update_step(gradient, variable, learning_rate)
            return

        def run(gradient, learning_rate):
            update_step(gradient, variable, learning_rate)

        rate = tf.cast(learning_rate, variable.dtype)
        tf.function(run, autograph=False, jit_compile=True)(gradient, rate)

    return compiled_update_step


def move_uphill(
    gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], radius: float
) -> list[tf.Tensor]:
    """Moves the weights to the worst point within a radius, to first order.

    Args:
        gradients: at the weights, the same on all replicas; a common factor does not matter.
        variables: what they are the gradients of.
        radius: 2-norm of the move over all variables.

    Returns:
        The weights as they were, for `move_back`.

    Reference: "Sharpness-Aware Minimization" (arXiv 2010.01412), equation 2.
    """
    before = [tf.identity(variable.value) for variable in variables]
    norm = tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient in gradients])
    factor = tf.where(tf.math.is_finite(norm), tf.math.divide_no_nan(radius, norm), 0.0)
    moves = [tf.cast(factor, gradient.dtype) * gradient for gradient in gradients]
    _assign(variables, [old + move for old, move in zip(before, moves, strict=True)])
    return before


def move_back(variables: Sequence[keras.Variable], before: Sequence[tf.Tensor]) -> None:
    """Gives the weights the values that `move_uphill` returned."""
    _assign(variables, before)


def _assign(variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]) -> None:
    def assign(strategy, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(
                variable.value, lambda variable, value: variable.assign(value), args=(value,)
            )

    tf.distribute.get_replica_context().merge_call(assign, args=(list(values),))
