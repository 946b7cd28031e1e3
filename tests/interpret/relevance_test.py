"""Class relevance against the whole computation in one tape, and what it must show."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import interpret
from keras_vit.interpret import relevance
from keras_vit.interpret.relevance import block_with_offset, pooling_with_offset
from keras_vit.layers.token_state import TokenState

BLOCKS = ("class token", "DINOv2", "CLIP", "hybrid", "DINOv3", "EVA", "BEiT")


def random_like(shape):
    return ops.convert_to_tensor(np.random.default_rng(3).standard_normal(shape), "float32")


def relevance_in_one_tape(model, x, classes):
    """The class-token rule as the paper writes it, all maps and gradients at once."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        (tokens, state), maps = TokenState.of(model.embed(x)), []
        for block in model.blocks:
            tokens, *_, attention = block(tokens, state, return_attention=True)
            maps.append(attention)
        logits = model.head(model.pool(model.parts.finish(tokens)))
        score = tf.reduce_sum(tf.gather(logits, classes, batch_dims=1))
    length = maps[0].shape[-1]
    relevance = np.eye(length)[None]
    for attention, gradient in zip(maps, tape.gradient(score, maps), strict=True):
        mean = np.maximum(attention.numpy() * gradient.numpy(), 0).mean(axis=1)
        relevance = relevance + mean @ relevance
    return relevance[:, 0, model.config.num_prefix_tokens :].reshape(len(x), 2, 3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs a gradient tape")
@pytest.mark.parametrize("kind", [kind for kind in BLOCKS if kind != "CLIP"])
def test_equals_the_rule_computed_in_one_tape(kind, make, images):
    model, x = make(kind), images()
    result = interpret.class_relevance(model, x, [3, 1])
    assert result.shape == (2, 2, 3) and result.dtype == np.float32
    expected = relevance_in_one_tape(model, x, [3, 1])
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "kind", ["class token", "DINOv2", "CLIP", "hybrid", "DINOv3", "EVA", "BEiT"]
)
def test_a_block_with_no_offset_is_the_block(kind, make, images):
    model = make(kind)
    block, (_, state) = model.blocks[1], TokenState.of(model.embed(images()))
    tokens = random_like((2, model.config.num_tokens, 16))
    offset = ops.zeros((2, 2, model.config.num_tokens, model.config.num_tokens))
    expected, _ = TokenState.of(block(tokens, state))
    result = ops.convert_to_numpy(block_with_offset(block, tokens, offset, state))
    np.testing.assert_allclose(result, ops.convert_to_numpy(expected), atol=1e-5)


def test_a_pooling_with_no_offset_is_the_pooling(make):
    pooling = make("probe").parts.pooling
    tokens = random_like((2, 6, 16))
    result = pooling_with_offset(pooling, tokens, ops.zeros((2, 2, 1, 6)))
    result, expected = map(ops.convert_to_numpy, (result, pooling(tokens)))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_every_kind_of_model_has_a_map_for_each_class(model, images):
    if not model.config.num_classes:
        with pytest.raises(ValueError, match="num_classes=0"):
            interpret.class_relevance(model, images())
        return
    x = images(1)
    both = interpret.class_relevance(model, np.concatenate([x, x]), [0, 1])
    assert both.shape == (2, 2, 3) and np.isfinite(both).all() and both.min() >= 0
    assert both.max() > 0
    assert np.abs(both[0] - both[1]).max() > 1e-4


def test_none_takes_the_predicted_class(make, images):
    model, x = make(), images()
    predicted = ops.convert_to_numpy(model(x)).argmax(-1)
    np.testing.assert_allclose(
        interpret.class_relevance(model, x), interpret.class_relevance(model, x, predicted)
    )


def test_batches_do_not_change_the_result(make, images):
    model, x = make("mean"), images(5)
    classes = [0, 1, 2, 3, 4]
    np.testing.assert_allclose(
        interpret.class_relevance(model, x, classes, batch_size=2),
        interpret.class_relevance(model, x, classes),
        rtol=1e-4,
    )


def test_normalized_rows_sum_to_one(make, images, monkeypatch):
    """With all of A as the positive part, and an answer read at the class token, it is rollout."""
    model, x = make(), images()
    maps = interpret.attention_maps(model, x)[::-1]
    seen = iter(maps)
    monkeypatch.setattr(relevance, "_positive_mean", lambda *_: next(seen).mean(1))
    np.testing.assert_allclose(
        interpret.class_relevance(model, x, normalize=True),
        interpret.attention_rollout(model, x),
        rtol=1e-4,
    )


def test_an_untrained_head_has_no_relevance_but_no_error(make, images):
    model = make.build()
    for variable in model.parts.head.weights:
        variable.assign(ops.zeros(variable.shape))
    np.testing.assert_array_equal(interpret.class_relevance(model, images()), 0)


@pytest.mark.parametrize("classes", [5, -1, [0], [[0, 1]], 0.5])
def test_impossible_classes_are_an_error(classes, make, images):
    with pytest.raises(ValueError, match="from 0 to 4"):
        interpret.class_relevance(make(), images(), classes)


# As computed on JAX, `(images, rows, columns)`.
ON_JAX = {
    "class token": [
        [[0.023798322, 0.0037161869, 0.11762142], [0.01981877, 0.016225025, 0.015438978]],
        [[0.06876599, 0.10375612, 0.056917224], [0.0069713984, 0.0034791552, 0.02597451]],
    ],
    "probe": [
        [[0.25479192, 0.16152175, 0.3229798], [0.35111052, 0.08712202, 0.3123191]],
        [[0.4519721, 0.041931298, 0.37962806], [0.022928104, 0.3431676, 0.01832974]],
    ],
}


@pytest.mark.parametrize("kind", ON_JAX)
def test_every_backend_gives_the_same(kind, make, images):
    result = interpret.class_relevance(make(kind), images(), [3, 1])
    np.testing.assert_allclose(result, ON_JAX[kind], rtol=1e-3, atol=1e-6)
