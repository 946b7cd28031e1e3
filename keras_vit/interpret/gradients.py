"""The one place that knows how each backend differentiates."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def pull_back(
    function: Callable[..., Any], inputs: Sequence[Any], output_gradient: Callable[[Any], Any]
) -> tuple[Any, list[Any]]:
    """Runs a function and pulls a gradient at its output back to its inputs.

    Args:
        function: takes the inputs as tensors of the backend, returns one tensor.
        inputs: floating-point tensors.
        output_gradient: output -> gradient of the same shape and dtype.

    Returns:
        The output, and one gradient for each input.

    Raises:
        NotImplementedError: a backend without gradients.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        inputs = [tf.convert_to_tensor(value) for value in inputs]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            output = function(*inputs)
        gradients = tape.gradient(
            output, inputs, output_gradient(output), unconnected_gradients="zero"
        )
        return output, gradients
    if backend == "jax":
        import jax

        output, transpose = jax.vjp(function, *inputs)
        return output, list(transpose(output_gradient(output)))
    if backend == "torch":
        import torch

        inputs = [keras.ops.convert_to_tensor(value).detach().requires_grad_() for value in inputs]
        with torch.enable_grad():
            output = function(*inputs)
        gradients = torch.autograd.grad(
            output, inputs, output_gradient(output.detach()), allow_unused=True
        )
        return output.detach(), [
            torch.zeros_like(value) if gradient is None else gradient
            for gradient, value in zip(gradients, inputs, strict=True)
        ]
    raise NotImplementedError(
        f"Expected a Keras backend with gradients: tensorflow, jax or torch. Received: {backend!r}."
    )
