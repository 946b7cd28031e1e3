"""A block that merges, against loops in NumPy; a block that is computed twice, against itself."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit.layers import TransformerBlock

HERE = pathlib.Path(__file__).parent


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load(HERE / "merging_reference.py")
TOKENS = np.random.default_rng(5).normal(size=(3, 12, 8)).astype("float32")
SIZES = np.random.default_rng(6).integers(1, 5, size=(3, 12)).astype("int32")
PLACES = np.tile(np.repeat(np.arange(12, dtype="int32"), 2), (3, 1))
DROPPING = {"dropout_rate": 0.2, "attention_dropout_rate": 0.1, "drop_path_rate": 0.3}


def make(dtype=None, **arguments):
    block = TransformerBlock(2, 20, dtype=dtype, **arguments)
    block.build(TOKENS.shape)
    random = np.random.default_rng(7)
    for index, variable in enumerate(block.variables):
        if variable.dtype == "float32":
            variable.assign(random.normal(size=variable.shape) * 0.4)
        else:
            variable.assign([index, 3])  # the random states
    return block


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("prefix, count", [(0, 2), (1, 5), (2, 1), (4, 9)])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_merging_block_computes_what_the_loops_compute(prefix, count, first):
    block = make(token_merging=count, num_prefix_tokens=prefix)
    state = None if first else {"sizes": SIZES, "places": PLACES}
    tokens, behind, attention = block(TOKENS, state, return_attention=True)
    outputs = [as_numpy(x) for x in (tokens, behind["sizes"], behind["places"], attention)]
    tokens, behind = block(TOKENS, state)
    fast = [tokens, behind["sizes"], behind["places"]]
    sizes, places = np.ones_like(SIZES), np.tile(np.arange(12), (3, 1))
    if not first:
        sizes, places = SIZES, PLACES
    weights = reference.block_weights(block)
    for image in range(3):
        expected = reference.block(
            TOKENS[image].astype("float64"), sizes[image], places[image], weights,
            heads=2, count=count, prefix=prefix,
        )  # fmt: skip
        for output, value in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output[image], value, atol=1e-5)
        for output, value in zip(fast, expected[:3], strict=True):
            np.testing.assert_allclose(as_numpy(output)[image], value, atol=1e-5)


def test_a_block_behind_merged_ones_counts_keys_by_size():
    block = make()
    tokens, state = block(TOKENS, {"sizes": SIZES, "places": PLACES})
    tokens = as_numpy(tokens)
    np.testing.assert_array_equal(as_numpy(state["sizes"]), SIZES)
    np.testing.assert_array_equal(as_numpy(state["places"]), PLACES)
    for image in range(3):  # as if each token stood there as often as its size says
        longer = np.repeat(TOKENS[image], SIZES[image], axis=0)[None]
        first = np.cumsum(SIZES[image]) - SIZES[image]
        np.testing.assert_allclose(as_numpy(block(longer))[0, first], tokens[image], atol=1e-5)


def shapes(outputs):
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), outputs)


def test_symbolic_shapes_are_those_that_come_out():
    block = make(token_merging=3, num_prefix_tokens=1)
    symbolic = block(keras.KerasTensor((None, 12, 8)), return_attention=True)
    sizes = {"sizes": (None, 9), "places": (None, 12)}
    assert shapes(symbolic) == ((None, 9, 8), sizes, (None, 2, 12, 12))
    outputs = block(TOKENS, return_attention=True)
    for output, spec in zip(*map(keras.tree.flatten, (outputs, symbolic)), strict=True):
        assert (None, *output.shape[1:]) == spec.shape
        assert keras.backend.standardize_dtype(output.dtype) == spec.dtype
    open_ended = block(keras.KerasTensor((None, None, 8)))
    sizes = {"sizes": (None, None), "places": (None, None)}
    assert shapes(open_ended) == ((None, None, 8), sizes)


def test_none_to_merge_is_the_plain_block_to_the_bit():
    plain, merging = make(), make(token_merging=0, num_prefix_tokens=1)
    np.testing.assert_array_equal(as_numpy(merging(TOKENS)), as_numpy(plain(TOKENS)))


def test_config_and_weights_round_trip():
    block = make(token_merging=3, num_prefix_tokens=1, rematerialize=True)
    twin = TransformerBlock.from_config(block.get_config())
    assert twin.get_config() == block.get_config()
    twin.build(TOKENS.shape)
    twin.set_weights(block.get_weights())
    for one, other in zip(*(keras.tree.flatten(b(TOKENS)) for b in (block, twin)), strict=True):
        np.testing.assert_array_equal(as_numpy(one), as_numpy(other))


def training_step(block, compiled, return_attention=False):
    """Loss, gradients by every variable and the input, and the random state behind a step."""
    arguments = {"training": True, "return_attention": return_attention}

    def loss_of(outputs):
        tokens = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
        return ops.mean(ops.square(ops.cast(tokens, "float32") - 1))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def step(inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = loss_of(block(inputs, **arguments))
            sources = [variable.value for variable in block.trainable_variables]
            return loss, tape.gradient(loss, [*sources, inputs])

        step = tf.function(step) if compiled else step
        loss, gradients = step(tf.constant(TOKENS))
        state = block.non_trainable_variables
    else:
        import jax

        def function(values, inputs, other):
            outputs, other = block.stateless_call(values, other, inputs, **arguments)
            return loss_of(outputs), other

        function = jax.value_and_grad(function, argnums=(0, 1), has_aux=True)
        function = jax.jit(function) if compiled else function
        values = [variable.value for variable in block.trainable_variables]
        other = [variable.value for variable in block.non_trainable_variables]
        (loss, state), (gradients, of_inputs) = function(values, TOKENS, other)
        gradients = [*gradients, of_inputs]
    return as_numpy(loss), list(map(as_numpy, gradients)), list(map(as_numpy, state))


@pytest.mark.few(1)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    "arguments",
    [DROPPING, {**DROPPING, "token_merging": 3, "mlp": "swiglu", "layer_scale_init": 0.5}, {}],
    ids=["dropping", "merging", "plain"],
)
def test_computed_twice_gives_the_same_gradients_and_random_state(arguments, compiled):
    loss, gradients, state = training_step(make(**arguments), compiled)
    again = training_step(make(**arguments, rematerialize=True), compiled)
    np.testing.assert_allclose(again[0], loss, rtol=1e-6)
    assert len(gradients) == len(again[1])
    for one, other in zip(gradients, again[1], strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6 * np.abs(one).max())
        assert np.abs(one).max() > 0
    for one, other in zip(state, again[2], strict=True):
        np.testing.assert_array_equal(other, one)
    if arguments:
        draws = sorted(int(values[1]) - 3 for values in state)
        assert draws == [1, 1, 2, 2]  # attention, its output; MLP twice, drop path twice


def test_computed_twice_drops_anew_in_each_step():
    block = make(**DROPPING, rematerialize=True)
    first, second = (training_step(block, compiled=False)[0] for _ in range(2))
    if keras.backend.backend() == "tensorflow":  # JAX hands the state back instead
        assert first != second


def test_computed_twice_returns_its_attention_too():
    block, plain = make(rematerialize=True), make()
    for output, expected in zip(
        block(TOKENS, training=True, return_attention=True),
        plain(TOKENS, training=True, return_attention=True),
        strict=True,
    ):
        np.testing.assert_array_equal(as_numpy(output), as_numpy(expected))
    with_attention = training_step(make(**DROPPING, rematerialize=True), True, True)
    without = training_step(make(**DROPPING), True)
    np.testing.assert_allclose(with_attention[0], without[0], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_computed_twice_in_half_precision(dtype):
    compiled = keras.backend.backend() != "tensorflow"  # operation by operation, JAX is slow
    _, gradients, _ = training_step(make(dtype, **DROPPING), compiled)
    _, again, _ = training_step(make(dtype, **DROPPING, rematerialize=True), compiled)
    for one, other in zip(gradients, again, strict=True):
        # Fused operations round in other places.
        np.testing.assert_allclose(other, one, atol=0.02 * np.abs(one).max())


def saved_for_backward(block):
    """Numbers that the gradient of a training step keeps from the forward pass."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        known = {id(variable.value) for variable in block.variables}
        kept = {}

        def keep(tensor):
            if not any(tensor is value for value in kept.values()) and id(tensor) not in known:
                kept[id(tensor)] = tensor

        @tf.function
        def step(inputs):
            graph = tf.compat.v1.get_default_graph()
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = block(inputs, training=True)
                forward = {operation.name for operation in graph.get_operations()}
            tape.gradient(outputs, inputs)
            for operation in graph.get_operations():
                if operation.name not in forward:
                    for tensor in operation.inputs:
                        if tensor.op.name in forward and tensor.dtype == tf.float32:
                            keep(tensor)
            return outputs

        step.get_concrete_function(tf.TensorSpec(TOKENS.shape))
        return sum(int(np.prod(tensor.shape)) for tensor in kept.values())
    import jax

    def forward(inputs):
        values = [variable.value for variable in block.trainable_variables]
        other = [variable.value for variable in block.non_trainable_variables]
        return block.stateless_call(values, other, inputs, training=True)[0]

    _, pull_back = jax.vjp(forward, TOKENS)
    weights = {variable.value.shape for variable in block.variables}
    leaves = [leaf for leaf in jax.tree.leaves(pull_back) if hasattr(leaf, "shape")]
    return sum(int(np.prod(leaf.shape)) for leaf in leaves if leaf.shape not in weights)


def test_computed_twice_keeps_little_more_than_its_input():
    plain, block = make(**DROPPING), make(**DROPPING, rematerialize=True)
    assert saved_for_backward(plain) > 15 * TOKENS.size
    assert saved_for_backward(block) < 2 * TOKENS.size
