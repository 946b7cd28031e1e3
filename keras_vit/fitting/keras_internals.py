"""The one place that reads what Keras keeps to itself, each with the reason.

`tests/fitting/keras_internals_test.py` fails when a name is gone or has another meaning.
"""

from typing import Any

import keras

_NAMES = {"decay": "_apply_weight_decay", "reduce_gradients": "_all_reduce_sum_gradients"}


def view(optimizer: keras.optimizers.Optimizer, **changes: Any) -> keras.optimizers.Optimizer:
    """Returns an optimizer on the same variables with some attributes changed.

    `copy.copy` does not do it: Keras copies an object by saving and loading it.

    Args:
        optimizer: stays as it is.
        **changes: attributes; `decay` and `reduce_gradients` are the methods that take the weight
            decay off variables and add gradients over replicas, which have no public switch.
    """
    other = object.__new__(type(optimizer))
    vars(other).update(vars(optimizer))
    vars(other).update({_NAMES.get(name, name): value for name, value in changes.items()})
    return other


def at_rate(optimizer: keras.optimizers.Optimizer, rate: Any) -> keras.optimizers.Optimizer:
    """Returns a view of an optimizer with another learning rate.

    A schedule is public, but may not be replaced by a tensor, and Adafactor looks whether there is
    one.
    """
    held = optimizer._learning_rate
    return view(optimizer, _learning_rate=(lambda: rate) if callable(held) else rate)


def read_once(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns a view of an optimizer whose step counter and learning rate are tensors, read now.

    Keras reads the counter anew for each variable that it updates, so that TensorFlow calculates
    all that follows from it as often.
    """
    other = view(optimizer, _iterations=optimizer.iterations * 1)
    return at_rate(other, other.learning_rate)


def decay(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> None:
    """Takes its weight decay off one variable, if the optimizer decays it."""
    optimizer._apply_weight_decay([variable])


def trained_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the variables that an optimizer was built on, in its order."""
    return list(optimizer._trainable_variables)


def moving_averages(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Returns each of `trained_variables` with its moving average, of an optimizer that has them.

    They are among its public `variables`, which do not say whose they are.
    """
    averages = optimizer._model_variables_moving_average
    return list(zip(trained_variables(optimizer), averages, strict=True))


def index_of(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    """Returns the place of a variable, or of one replica's copy of it, in `trained_variables`."""
    return optimizer._get_variable_index(variable)


def inner_optimizers(
    optimizer: keras.optimizers.Optimizer,
) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers that one hands its work to; empty for one that works by itself."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer.inner_optimizer]
    return list(getattr(optimizer, "optimizers", []))


def with_inner_optimizers(
    optimizer: keras.optimizers.Optimizer, inner: list[keras.optimizers.Optimizer]
) -> keras.optimizers.Optimizer:
    """Returns a view of an optimizer that hands its work to others, as many as it has."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return view(optimizer, inner_optimizer=inner[0])
    return view(optimizer, _inner_optimizers=inner)


def strategy_of(model: keras.Model) -> Any:
    """Returns the `tf.distribute` strategy in whose scope a model was made, or None.

    The public `distribute_strategy` falls back to the strategy of the caller, which hides that a
    model was made outside the scope.
    """
    return model._distribute_strategy


def tensors_around(model: keras.Model, layer: keras.layers.Layer) -> tuple[Any, Any] | None:
    """Returns the symbolic tensors that a model gives to one of its layers and gets from it.

    A layer's own `input` and `output` are public, but not which of several calls belongs to a
    model.

    Args:
        model: a functional or sequential model.
        layer: one of its layers, with one input and one output.

    Returns:
        The two tensors; of several calls those of the last; None in a model of another kind.
    """
    nodes = getattr(getattr(model, "_functional", None) or model, "_nodes_by_depth", {})
    for depth in sorted(nodes):
        for node in nodes[depth]:
            if node.operation is layer:
                return node.input_tensors[0], node.output_tensors[0]
    return None


def quantization_modes(model: keras.Model) -> set[str]:
    """Returns to what `quantize` has brought layers of a model, such as `{"int8"}`.

    There is no public way to all layers within layers.
    """
    return {layer.quantization_mode for layer in model._flatten_layers()} - {None}


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
