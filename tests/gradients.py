"""Gradients of a scalar with respect to variables, on whichever backend runs."""

import keras
from keras import ops


def gradients(layer, inputs, training=False):
    """Returns the mean square of `layer(*inputs)` derived by each trainable variable, as arrays."""
    variables = layer.trainable_variables
    arguments = {"training": training} if layer._call_has_training_arg else {}

    def loss(outputs):
        return ops.mean(ops.square(ops.cast(outputs, "float32")))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(layer(*inputs, **arguments))
        return tape.gradient(value, [variable.value for variable in variables])
    if keras.backend.backend() == "torch":
        layer.zero_grad()
        loss(layer(*inputs, **arguments)).backward()
        return [variable.value.grad for variable in variables]
    import jax

    other = [variable.value for variable in layer.non_trainable_variables]

    def function(values):
        outputs, _ = layer.stateless_call(values, other, *inputs, **arguments)
        return loss(outputs)

    # Compiled as a whole: op by op, compiling takes most of the time.
    return jax.jit(jax.grad(function))([variable.value for variable in variables])
