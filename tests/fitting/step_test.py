"""The step on one replica: Keras's numbers, and what it adds to them."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit.fitting import StepOptions, TrainableModel
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer

TINY = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=1,
                               num_heads=2, mlp_dim=16, num_classes=3)  # fmt: skip
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(20, 8, 8, 3)).astype("float32")
LABELS = np.eye(3, dtype="float32")[RNG.integers(0, 3, 20)]
WEIGHTS = RNG.uniform(0.2, 2, 20).astype("float32")


def _model(**arguments):
    keras.utils.set_random_seed(0)
    model = VisionTransformer(TINY, classifier_activation=None, **arguments)
    rng = np.random.default_rng(1)
    model.set_weights([
        (0.3 * rng.normal(size=weight.shape)).astype("float32") for weight in model.get_weights()
    ])  # fmt: skip
    return model


def _fit(model, optimizer, *, batch_size=10, reduction="sum_over_batch_size", **arguments):
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, reduction=reduction),
        metrics=["accuracy"],
        jit_compile=False,
        **arguments,
    )
    return model.fit(IMAGES, LABELS, sample_weight=WEIGHTS, batch_size=batch_size, shuffle=False,
                     verbose=0).history  # fmt: skip


def _assert_same(one, other, tolerance=1e-6):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(a).max(), 1e-3), rtol=0)


def test_one_replica_trains_as_keras_does():
    """What an optimizer does is in `updates_test.py`; here is the loop around it."""
    ours, plain = _model(), _model()
    plain = keras.Model(plain.inputs, plain.outputs)
    arguments = {"clipnorm": 0.1, "use_ema": True, "ema_momentum": 0.5, "epsilon": 1e-4}
    history, expected = (
        _fit(model, keras.optimizers.AdamW(1e-2, **arguments)) for model in (ours, plain)
    )
    _assert_same(plain, ours)
    assert history.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(history[key], expected[key], rtol=1e-5)
    moved = [np.abs(a - b).max() for a, b in zip(_model().get_weights(), ours.get_weights(),
                                                 strict=True)]  # fmt: skip
    assert min(moved) > 0


@pytest.mark.few(1)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_parts_of_a_batch_add_up(reduction):
    """Also where the parts are uneven: batches of 8 twice and of 4, in 3 parts."""
    whole, cut = _model(), _model()
    histories = [
        _fit(model, keras.optimizers.SGD(0.02, momentum=0.9, global_clipnorm=0.2),
             reduction=reduction, accumulation_steps=steps, batch_size=8)
        for model, steps in ((whole, 1), (cut, 3))
    ]  # fmt: skip
    _assert_same(whole, cut)
    if reduction != "mean_with_sample_weight":  # whose reported mean counts parts by examples
        np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(histories[0]["accuracy"], histories[1]["accuracy"])


@pytest.mark.slow
def test_parts_of_a_batch_of_known_size_add_up_with_and_without_xla():
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(10, drop_remainder=True)
    trained, histories = [], []
    for arguments in ({}, {"accumulation_steps": 2},
                      {"accumulation_steps": 2, "jit_compile": True}):  # fmt: skip
        model = _model()
        model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            **{"jit_compile": False, **arguments},
        )
        histories.append(model.fit(batches, shuffle=False, verbose=0).history)
        trained.append(model)
    for model, history in zip(trained[1:], histories[1:], strict=True):
        _assert_same(trained[0], model)
        assert history == {k: pytest.approx(v, rel=1e-5) for k, v in histories[0].items()}
    with pytest.raises(ValueError, match="accumulation_steps=2.*any size"):
        model.fit(batches.unbatch().batch(5, drop_remainder=True), verbose=0)


def test_the_sharpness_step_is_the_one_of_the_paper():
    radius, rate = 0.1, 0.5
    model = _model()
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    def gradients(model):
        with tf.GradientTape() as tape:
            value = loss(LABELS, model(IMAGES, training=True))
        return [
            g.numpy() for g in tape.gradient(value, [v.value for v in model.trainable_variables])
        ]

    expected = _model()
    start = [v.numpy() for v in expected.trainable_variables]
    first = gradients(expected)
    norm = np.sqrt(sum((g**2).sum() for g in first))
    for variable, gradient in zip(expected.trainable_variables, first, strict=True):
        variable.assign(variable + radius * gradient / norm)
    second = gradients(expected)
    for variable, old, gradient in zip(expected.trainable_variables, start, second, strict=True):
        variable.assign(old - rate * gradient)
    model.compile(keras.optimizers.SGD(rate), loss, sharpness_radius=radius)
    model.train_on_batch(IMAGES, LABELS)
    _assert_same(expected, model)
    plain = _model()
    plain.compile(keras.optimizers.SGD(rate), loss)
    plain.train_on_batch(IMAGES, LABELS)
    assert max(np.abs(a - b).max() for a, b in zip(plain.get_weights(), model.get_weights(),
                                                   strict=True)) > 1e-4  # fmt: skip


class Holder(keras.layers.Layer):
    """A layer that makes a model where it is built."""

    def build(self, input_shape):
        self.model = _model()


def _made(place):
    if place == "in a layer":
        holder = Holder()
        holder.build(None)
        return holder.model
    with keras.name_scope("outer") if place == "in a scope" else contextlib.nullcontext():
        return _model()


@pytest.mark.parametrize("place", ["alone", "again", "in a scope", "in a layer"])
def test_a_layer_learns_at_its_own_rate_wherever_the_model_is_made(place):
    """After one step the move, decay included, is the plain one times the factor."""

    def moved(model, scales):
        start = [v.numpy() for v in model.trainable_variables]
        model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            learning_rate_scales=scales,
            run_eagerly=True,
        )
        model.train_on_batch(IMAGES, LABELS)
        return [v.numpy() - a for v, a in zip(model.trainable_variables, start, strict=True)]

    scales = {"patch_encoder": 0.0, "encoder_block_0": 0.25}
    model, factors = _made(place), {}
    for layer in model.layers:
        factors |= {id(v): scales.get(layer.name, 1.0) for v in layer.trainable_variables}
    factors = [factors[id(variable)] for variable in model.trainable_variables]
    assert set(factors) == {0.0, 0.25, 1.0}
    plain, scaled = moved(_model(), {}), moved(model, scales)
    for factor, one, other in zip(factors, plain, scaled, strict=True):
        np.testing.assert_allclose(other, factor * one, atol=2e-6)


def test_frozen_blocks_stay_and_the_others_learn():
    model = _model()
    model.blocks[0].trainable = False
    start = {v.path: v.numpy() for v in model.variables}
    _fit(model, keras.optimizers.AdamW(1e-2, use_ema=True), accumulation_steps=2)
    for variable in model.weights:
        same = np.array_equal(variable.numpy(), start[variable.path])
        assert same == variable.path.startswith("encoder_block_0"), variable.path


def test_an_overflow_in_float16_leaves_the_step_out_and_halves_the_scale():
    model = _model(dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**126
    )
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    start = model.get_weights()
    model.train_on_batch(IMAGES, LABELS)
    for a, b in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(optimizer.dynamic_scale) == 2.0**125
    assert int(optimizer.inner_optimizer.iterations) == 0


def test_the_loss_scale_grows_after_steps_without_overflow():
    model = _model(dtype="mixed_float16")
    inner = keras.optimizers.SGD(0.1, global_clipnorm=1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(
        inner, initial_scale=8.0, dynamic_growth_steps=2
    )
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    scales = []
    for _ in range(4):
        model.train_on_batch(IMAGES, LABELS)
        scales.append(float(optimizer.dynamic_scale))
    assert scales == [8.0, 16.0, 16.0, 32.0]
    assert int(inner.iterations) == 4


OPTIONS = {"accumulation_steps": 2, "sharpness_radius": 0.05, "learning_rate_scales": {"head": 0.5}}


@pytest.mark.slow
def test_options_are_saved_with_the_model(tmp_path):
    model = _model()
    _fit(model, keras.optimizers.SGD(0.1), **OPTIONS)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.step_options == StepOptions(**OPTIONS)
    np.testing.assert_array_equal(
        loaded.optimizer.iterations.numpy(), model.optimizer.iterations.numpy()
    )


def test_a_copy_is_compiled_as_the_model_was(tmp_path):
    model, loss = _model(), keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.25), loss)
    copy = keras.models.clone_model(model)
    assert float(copy.optimizer.learning_rate) == 0.25
    model.compile(keras.optimizers.SGD(0.25), loss, **OPTIONS)
    plain = keras.models.clone_model(model)
    assert float(plain.optimizer.learning_rate) == 0.25
    plain.compile_from_config(model.get_compile_config())
    copy = VisionTransformer.from_config(model.get_config())
    copy.compile_from_config(model.get_compile_config())
    assert copy.step_options == StepOptions(**OPTIONS)
    trainer = TrainableModel(model.inputs, model.logits)
    trainer.compile("sgd", loss, **OPTIONS)
    assert keras.models.clone_model(trainer).step_options == StepOptions(**OPTIONS)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.step_options == StepOptions(**OPTIONS)


@pytest.mark.slow
def test_a_batch_without_images_trains_nothing_and_breaks_nothing():
    from keras_vit.fitting.step import train_step

    model = _model()
    model.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])  # fmt: skip
    start = model.get_weights()

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3]), tf.TensorSpec([None, 3])])
    def step(images, labels):
        return train_step(model, (images, labels))

    model.make_train_function()
    results = step(IMAGES[:0], LABELS[:0])
    assert float(results["loss"]) == 0
    for a, b in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"accumulation_steps": 0}, "at least 1. Received: accumulation_steps=0"),
        ({"sharpness_radius": -1.0}, "at least 0. Received: sharpness_radius=-1.0"),
        ({"learning_rate_scales": {"head": -1.0}}, "'head'"),
        ({"learning_rate_scales": {"no_layer": 1.0}}, r"Received: \['no_layer'\]"),
    ],
)
def test_impossible_options_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _model().compile("sgd", "mse", **arguments)


def test_a_loss_that_cannot_be_added_is_refused():
    with pytest.raises(ValueError, match="one reduction.*Received: .*None"):
        _model().compile("sgd", keras.losses.MeanSquaredError(reduction=None), accumulation_steps=2)


def test_one_batch_is_predicted_without_a_data_set_and_more_as_keras_does(monkeypatch):
    model, asked = _model(), []
    expected = keras.Model.predict(model, IMAGES, verbose=0)
    monkeypatch.setattr(keras.Model, "predict", lambda *rest: asked.append(rest[2:]))
    one, several = (model.predict(IMAGES[:count], verbose=0) for count in (1, 20))
    np.testing.assert_allclose(several, expected, atol=1e-6)
    np.testing.assert_allclose(one, expected[:1], atol=1e-6)
    assert not asked
    model.predict(IMAGES, 8, verbose=0)
    model.predict(IMAGES.astype("float64"), verbose=0)
    model.predict(IMAGES)
    assert asked == [(8, 0, None, None), (None, 0, None, None), (None, "auto", None, None)]
