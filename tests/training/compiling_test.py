"""The step is compiled by XLA where that was faster, and the race leaves no trace."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import compiling, train
from keras_vit.training.compiling import Compiling, choose_compiling, use
from keras_vit.training.recipes import Recipe

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=2,
                               dropout_rate=0.5)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = VisionTransformer(TINY)
    model.compile(
        keras.optimizers.AdamW(0.01),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


@pytest.fixture(scope="module")
def batches():
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    return tf.data.Dataset.from_tensors((images, np.eye(2, dtype="float32")[[0, 1, 1, 0]])).repeat()


@pytest.fixture
def short(monkeypatch):
    """Races of one round for the shortest run, whose clock shows what a test says."""

    def show(times):
        shown = iter(times)

        def timed(run):
            run()
            return next(shown)

        monkeypatch.setattr(compiling, "_timed", timed)

    for name, value in (("_FEWEST_STEPS", 1), ("_ROUNDS", 1), ("_STEPS", 1)):
        monkeypatch.setattr(compiling, name, value)
    return show


def bits(network):
    return [np.array(v.value) for v in [*network.variables, *network.optimizer.variables]]


def test_the_faster_one_is_chosen_and_all_bits_are_as_before(network, batches, short):
    network.optimizer.build(network.trainable_variables)
    before = bits(network)
    short([1.0] * 3 + [1.0, 0.5])
    won = choose_compiling(network, batches, 200)
    short([1.0] * 3 + [1.0, 0.99])
    lost = choose_compiling(network, batches, 200)
    assert won == Compiling(True, "500 ms a step with XLA, 1e+03 without") and not lost.xla
    assert all(map(np.array_equal, before, bits(network)))
    assert network.jit_compile is False


@pytest.mark.parametrize("steps, why", [(119, "119 s of steps"), (0, "too few steps")])
def test_a_short_run_has_no_race(network, batches, short, steps, why):
    short([1.0] * 3)
    chosen = choose_compiling(network, batches, steps)
    assert not chosen.xla and chosen.why.startswith(why)


def test_both_steps_come_to_the_same_numbers(network, batches):
    network.optimizer.build(network.trainable_variables)
    start, ends = bits(network), []
    for xla in (False, True):
        for variable, value in zip(
            [*network.variables, *network.optimizer.variables], start, strict=True
        ):
            variable.assign(value)
        use(network, Compiling(xla, ""))
        iterator = iter(batches)
        for _ in range(2):
            network.train_function(iterator)
        ends.append(np.concatenate([w.numpy().ravel() for w in network.trainable_variables]))
    assert not np.array_equal(ends[0], bits(network)[0].ravel())
    np.testing.assert_allclose(*ends, atol=1e-5)


def test_the_step_is_made_as_the_record_says_whatever_ran_last(network, batches, monkeypatch):
    used = []
    monkeypatch.setattr(compiling, "use", lambda network, chosen: used.append(chosen.xla))
    for xla in (False, True):
        record = {"compiling": Compiling(xla, "").to_dict()}
        compiling.compile_step(network, batches, 200, record, False)
    assert used == [False, True]


def test_a_run_keeps_what_it_began_with(image_sets, tmp_path, monkeypatch):
    raced = []

    def race(network, batches, steps):
        raced.append(steps)
        return Compiling(True, "a race")

    monkeypatch.setattr(compiling, "choose_compiling", race)
    recipe = Recipe(steps=4, batch_size=6, dtype="auto")
    model = VisionTransformer(TINY.replace(dropout_rate=0.0))
    result = train(recipe, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    told = {"xla": True, "why": "a race"}
    assert json.loads((tmp_path / "summary.json").read_text())["compiling"] == told
    (tmp_path / "summary.json").unlink()
    again = train(recipe, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    assert again.summary["compiling"] == told == result.summary["compiling"]
    assert raced == [4]
    assert again.summary["recipe"]["dtype"] == "float32"  # the model's, not to be chosen anew
