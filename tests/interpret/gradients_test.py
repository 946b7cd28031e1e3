"""Gradients of any backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit.interpret.gradients import pull_back


def test_pulls_a_gradient_back_to_every_input():
    a, b = ops.convert_to_tensor([1.0, 2.0]), ops.convert_to_tensor([3.0, 5.0])
    output, gradients = pull_back(
        lambda a, b: a * a * b, [a, b], lambda output: ops.convert_to_tensor([1.0, 10.0])
    )
    np.testing.assert_allclose(output, [3, 20])
    np.testing.assert_allclose(gradients[0], [6, 200])
    np.testing.assert_allclose(gradients[1], [1, 40])


def test_the_gradient_at_the_output_may_depend_on_it():
    _, (gradient,) = pull_back(
        lambda a: a * 2.0, [ops.convert_to_tensor([1.0, 3.0])], lambda output: output
    )
    np.testing.assert_allclose(gradient, [4, 12])


def test_an_input_that_is_not_used_has_gradient_zero():
    _, gradients = pull_back(
        lambda a, b: a * 1.0, [ops.ones((2,)), ops.ones((3,))], lambda output: output
    )
    np.testing.assert_allclose(gradients[1], [0, 0, 0])


def test_a_backend_without_gradients_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match="Received: 'numpy'"):
        pull_back(lambda a: a, [ops.ones(2)], lambda output: output)
