"""What the step reads of Keras's own is still there and still means the same."""

import keras

from keras_vit.fitting import keras_internals as internals


def _optimizer(**arguments):
    variables = [keras.Variable([1.0, 2.0], name="kernel"), keras.Variable([1.0], name="bias")]
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5, **arguments)
    optimizer.exclude_from_weight_decay(var_list=variables[1:])
    optimizer.build(variables)
    return optimizer, variables


def test_what_decays_can_be_read():
    optimizer, variables = _optimizer()
    assert [internals.uses_weight_decay(optimizer, v) for v in variables] == [True, False]


def test_the_sum_over_replicas_can_be_left_out():
    optimizer, variables = _optimizer()
    seen = []
    setattr(optimizer, internals.REDUCE_GRADIENTS, lambda pairs: seen.append(1) or list(pairs))
    optimizer.apply([keras.ops.ones((2,)), keras.ops.ones((1,))], variables)
    assert seen


def test_the_strategy_of_a_model_can_be_read():
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert internals.strategy_of(keras.Sequential()) is None
    with strategy.scope():
        assert internals.strategy_of(keras.Sequential()) is strategy


def test_keras_builds_through_the_method_that_is_replaced():
    assert hasattr(keras.Model, "_maybe_symbolic_build")


def test_what_a_model_gives_to_a_layer_can_be_read():
    layer, images = keras.layers.Dense(2), keras.Input((2,))
    doubled = images + images
    model = keras.Model(images, layer(doubled))
    layer(images)  # a call that is not part of the model
    assert internals.tensor_into(model, layer) is doubled
    sequence = keras.Sequential([keras.Input((2,)), layer])
    assert internals.tensor_into(sequence, layer) is sequence.inputs[0]
    assert internals.tensor_into(keras.Model(), layer) is None
