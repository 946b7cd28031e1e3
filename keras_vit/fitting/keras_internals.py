"""The one place that reads what Keras keeps to itself, each with the reason.

`tests/fitting/keras_internals_test.py` fails when a name is gone or has another meaning.
"""

from __future__ import annotations

from typing import Any

import keras

# The method of an optimizer that adds gradients over replicas. It has no public switch, and the
# gradients that come from a clipped sum must not be added again.
REDUCE_GRADIENTS = "_all_reduce_sum_gradients"


def uses_weight_decay(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Says whether an optimizer decays a variable.

    `exclude_from_weight_decay` is public and can be written, but there is no way to read it.

    Args:
        optimizer: built on the variable.
        variable: one of the variables it trains.
    """
    return bool(optimizer._use_weight_decay(variable))


def strategy_of(model: keras.Model) -> Any:
    """Returns the `tf.distribute` strategy in whose scope a model was made, or None.

    The public `distribute_strategy` falls back to the strategy of the caller, which hides that a
    model was made outside the scope.

    Args:
        model: a model on the TensorFlow backend.
    """
    return model._distribute_strategy


def tensor_into(model: keras.Model, layer: keras.layers.Layer) -> Any:
    """Returns the symbolic tensor that a model gives to one of its layers.

    A layer's own `input` is public, but not which of several calls belongs to a model.

    Args:
        model: a functional or sequential model.
        layer: one of its layers, with one input.

    Returns:
        The tensor; of several calls that of the last; None in a model of another kind.
    """
    nodes = getattr(getattr(model, "_functional", None) or model, "_nodes_by_depth", {})
    for depth in sorted(nodes):
        for node in nodes[depth]:
            if node.operation is layer:
                return node.input_tensors[0]
    return None


class BuildsFromLocalBatch:
    """Builds metrics from one replica's part of the first batch.

    Keras averages the first batch over all replicas to learn its shapes, which fails with several
    workers. There is no public step between `fit` and the building.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = strategy_of(self)
        if iterator is not None and strategy is not None:
            for _, _, batches in iterator:
                parts = keras.tree.map_structure(
                    lambda value: strategy.experimental_local_results(value)[0], next(batches)
                )
                return super()._maybe_symbolic_build(data_batch=parts)
        return super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
