"""What the step reads of Keras's own is still there and still means the same."""

import keras
import numpy as np
import pytest

from keras_vit.fitting import keras_internals as internals


def _optimizer(**arguments):
    variables = [keras.Variable([1.0, 2.0], name="kernel"), keras.Variable([1.0], name="bias")]
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5, **arguments)
    optimizer.exclude_from_weight_decay(var_list=variables[1:])
    optimizer.build(variables)
    return optimizer, variables


def test_a_view_works_on_the_same_variables_with_methods_of_its_own():
    optimizer, variables = _optimizer()
    seen = []
    view = internals.view(
        optimizer,
        reduce_gradients=lambda pairs: seen.append("reduced") or list(pairs),
        decay=lambda variables: seen.append("decayed"),
    )
    gradients = [keras.ops.zeros((2,)), keras.ops.zeros((1,))]
    view.apply(gradients, variables)
    assert sorted(seen) == ["decayed", "reduced"]
    assert variables[0].numpy().tolist() == [1.0, 2.0]
    optimizer.apply(gradients, variables)
    assert len(seen) == 2 and int(optimizer.iterations) == 2
    np.testing.assert_allclose(variables[0], [0.95, 1.9])


def test_decay_follows_the_rate_of_a_view():
    optimizer, (kernel, bias) = _optimizer()
    for variable in (kernel, bias):
        internals.decay(internals.at_rate(optimizer, keras.ops.convert_to_tensor(0.2)), variable)
    np.testing.assert_allclose(kernel, [0.9, 1.8], rtol=1e-6)
    assert float(bias[0]) == 1.0 and float(optimizer.learning_rate) == pytest.approx(0.1)


def test_a_counter_read_once_stays_where_it_was():
    optimizer, variables = _optimizer()
    optimizer.learning_rate = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0)
    now = internals.read_once(optimizer)
    optimizer.apply([keras.ops.zeros((2,)), keras.ops.zeros((1,))], variables)
    assert (int(now.iterations), int(optimizer.iterations)) == (0, 1)
    assert float(now.learning_rate) == 1.0 and float(optimizer.learning_rate) < 1.0


def test_a_variable_is_found_by_itself_and_by_its_tensor():
    optimizer, variables = _optimizer()
    assert internals.trained_variables(optimizer) == variables
    for index, variable in enumerate(variables):
        assert internals.index_of(optimizer, variable) == index
        assert internals.index_of(optimizer, variable.value) == index


def test_each_variable_has_its_own_moving_average():
    optimizer, variables = _optimizer(use_ema=True, ema_momentum=0.0)
    optimizer.apply([keras.ops.ones((2,)), keras.ops.zeros((1,))], variables)
    pairs = internals.moving_averages(optimizer)
    assert [variable for variable, _ in pairs] == variables
    assert [average.numpy().tolist() for _, average in pairs] == [
        variable.numpy().tolist() for variable in variables
    ]


def test_the_strategy_of_a_model_can_be_read():
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert internals.strategy_of(keras.Sequential()) is None
    with strategy.scope():
        assert internals.strategy_of(keras.Sequential()) is strategy


def test_keras_builds_through_the_method_that_is_replaced():
    assert hasattr(keras.Model, "_maybe_symbolic_build")


def test_what_a_model_gives_to_a_layer_and_gets_can_be_read():
    layer, images = keras.layers.Dense(2), keras.Input((2,))
    doubled = images + images
    result = layer(doubled)
    model = keras.Model(images, keras.layers.ReLU()(result))
    layer(images)  # a call that is not part of the model
    around = internals.tensors_around(model, layer)
    assert around[0] is doubled and around[1] is result
    sequence = keras.Sequential([keras.Input((2,)), layer])
    assert internals.tensors_around(sequence, layer)[0] is sequence.inputs[0]
    assert internals.tensors_around(keras.Model(), layer) is None


def test_quantised_layers_within_layers_are_found():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    outer = keras.Sequential([keras.Input((2,)), model])
    assert internals.quantization_modes(outer) == set()
    model.quantize("int8")
    assert internals.quantization_modes(outer) == {"int8"}
