"""From gradients that are the same on all replicas to one update of the weights.

Each function runs in replica context. The gradients are sums over the replicas already, so the
optimizer's own sum is left out.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_vit.fitting import keras_internals
from keras_vit.layers.xla import compiles_parts

# Values of a variable from which on its update is compiled.
COMPILED_FROM = 2**17


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
    factors: dict[int, float],
) -> None:
    """Unscales, clips and applies gradients as the optimizer does, each variable at its own rate.

    They are those of the loss as the optimizer scaled it, summed over the replicas. It may be any
    of Keras's, built on all trainable variables of the model. Factors are by the `id` of a
    variable, 1 where there is none.
    """
    _for_step(optimizer, factors).apply(list(gradients), list(variables))


def _for_step(
    optimizer: keras.optimizers.Optimizer, factors: dict[int, float]
) -> keras.optimizers.Optimizer:
    """Returns a view of an optimizer that updates each variable at its own rate.

    The optimizer itself stays as it is: what differs is an attribute of the view alone.
    """
    inner = keras_internals.inner_optimizers(optimizer)
    if inner:
        views = [_for_step(one, factors) for one in inner]
        return keras_internals.with_inner_optimizers(optimizer, views)
    known = keras_internals.trained_variables(optimizer)
    factors = [factors.get(id(variable), 1.0) for variable in known]
    compiles = any(map(_is_large, known)) and compiles_parts()
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    now = keras_internals.read_once(optimizer) if alone else optimizer

    def decay(variables):
        """Decays what is not decayed where it is updated."""
        for variable in variables:
            if not (compiles and _is_large(variable)):
                factor = factors[keras_internals.index_of(optimizer, variable)]
                rated = now
                if factor != 1:
                    rated = keras_internals.at_rate(now, factor * now.learning_rate)
                keras_internals.decay(rated, variable)

    def update_step(gradient, variable, learning_rate):
        index = keras_internals.index_of(optimizer, variable)
        rate = tf.cast(learning_rate, variable.dtype)
        rate = rate if factors[index] == 1 else rate * tf.cast(factors[index], variable.dtype)
        if not (compiles and _is_large(variable)):
            keras_internals.at_rate(now, rate).update_step(gradient, variable, rate)
            return

        def run(gradient, rate):
            rated = keras_internals.at_rate(optimizer, rate)
            keras_internals.decay(rated, known[index])
            rated.update_step(gradient, variable, rate)

        tf.function(run, autograph=False, jit_compile=True)(gradient, rate)

    return keras_internals.view(
        optimizer, update_step=update_step, decay=decay, reduce_gradients=lambda pairs: pairs
    )


def _is_large(variable: Any) -> bool:
    return math.prod(variable.shape) >= COMPILED_FROM


def move_uphill(
    gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], radius: float
) -> list[tf.Tensor]:
    """Moves the weights to the worst point within a radius, to first order.

    Args:
        gradients: at the weights, the same on all replicas; a common factor does not matter.
        variables: what they are the gradients of.
        radius: 2-norm of the move over all variables.

    Returns:
        The weights as they were, for `give_values`.

    Reference: "Sharpness-Aware Minimization" (arXiv 2010.01412), equation 2.
    """
    before = [tf.identity(variable.value) for variable in variables]
    norm = tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient in gradients])
    factor = tf.where(tf.math.is_finite(norm), tf.math.divide_no_nan(radius, norm), 0.0)
    moves = [tf.cast(factor, gradient.dtype) * gradient for gradient in gradients]
    give_values(variables, [old + move for old, move in zip(before, moves, strict=True)])
    return before


def give_values(variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]) -> None:
    """Gives the weights values, the same on all replicas."""

    def assign(strategy, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(
                variable.value, lambda variable, value: variable.assign(value), args=(value,)
            )

    tf.distribute.get_replica_context().merge_call(assign, args=(list(values),))
