"""Every layer: shape, config, saving, mixed precision, gradients, and one result on all ways."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

HERE = pathlib.Path(__file__).parent


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checks = _load(HERE / "layer_checks.py")
every_case = pytest.mark.parametrize("name", checks.CASES)


def _compiled(layer, inputs):
    """The layer's output from compiled code: `tf.function` or `jax.jit`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda *tensors: layer(*tensors))(*inputs)
    import jax

    values = [v.value for v in layer.trainable_variables]
    other = [v.value for v in layer.non_trainable_variables]
    return jax.jit(lambda v, o, *tensors: layer.stateless_call(v, o, *tensors)[0])(
        values, other, *inputs
    )


@every_case
def test_output_shape_is_the_promised_one(name):
    layer, inputs = checks.make(name)
    _, _, shapes, expected = checks.CASES[name]
    assert tuple(layer(*inputs).shape) == expected
    assert tuple(layer.compute_output_shape(*shapes)) == expected
    symbolic = layer(*[keras.KerasTensor((None, *shape[1:])) for shape in shapes])
    assert tuple(symbolic.shape) == (None, *expected[1:])


@every_case
def test_config_round_trip_gives_the_same_layer(name):
    layer, inputs = checks.make(name)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert twin.get_config() == layer.get_config()
    assert twin.built
    assert [w.shape for w in twin.weights] == [w.shape for w in layer.weights]
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(checks.as_numpy(twin(*inputs)), checks.as_numpy(layer(*inputs)))


@every_case
def test_saving_in_safe_mode_is_bit_exact(name, tmp_path):
    layer, inputs = checks.make(name)
    symbolic = [keras.Input(batch_shape=(None, *x.shape[1:])) for x in inputs]
    model = keras.Model(symbolic, layer(*symbolic))
    expected = checks.as_numpy(model(inputs))
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(checks.as_numpy(loaded(inputs)), expected)


@pytest.mark.few(12)
@every_case
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_stays_close(name, dtype):
    layer, inputs = checks.make(name, dtype)
    reference, _ = checks.make(name)
    output = layer(*inputs)
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    for weight in layer.trainable_weights:
        assert weight.dtype == "float32"
    expected = checks.as_numpy(reference(*inputs))
    # bfloat16 has 8 bits: an error of 2^-7 in each of a few products.
    tolerance = (0.02 if dtype == "mixed_float16" else 0.12) * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(checks.as_numpy(output), expected, atol=tolerance)


@pytest.mark.few(12)
@every_case
@pytest.mark.parametrize("training", [False, True])
def test_every_variable_has_a_finite_gradient(name, training, gradients):
    layer, inputs = checks.make(name)
    found = gradients(layer, inputs, training)
    for variable, gradient in zip(layer.trainable_variables, found, strict=True):
        gradient = checks.as_numpy(gradient)
        assert np.isfinite(gradient).all(), variable.path
        # The softmax does not see what is added to all its scores: a key bias (part of a packed
        # bias) may have none, but no variable as a whole is without.
        key_norm_bias = "key_norm/beta" in variable.path
        assert np.abs(gradient).max() > 0 or key_norm_bias, variable.path


@every_case
def test_compiled_and_eager_results_agree(name):
    layer, inputs = checks.make(name)
    inputs = [ops.convert_to_tensor(x) for x in inputs]
    np.testing.assert_allclose(
        checks.as_numpy(_compiled(layer, inputs)), checks.as_numpy(layer(*inputs)), atol=2e-5
    )


@pytest.fixture(scope="module")
def pinned():
    """What `layer_checks.py` wrote on JAX."""
    with np.load(HERE.parent / "fixtures" / "layers.npz") as outputs:
        assert outputs.keys() == checks.CASES.keys()
        return dict(outputs)


@every_case
def test_every_backend_gives_the_same_result(name, pinned):
    layer, inputs = checks.make(name)
    np.testing.assert_allclose(checks.as_numpy(layer(*inputs)), pinned[name], atol=2e-5)
