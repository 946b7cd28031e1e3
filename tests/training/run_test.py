"""A run learns, leaves whole files behind, repeats itself and stops when it must."""

import json
import os
import signal

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.applications.model_files import load_labels, load_model
from keras_vit.data.augmentation import Augmentation
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import train
from keras_vit.training.callbacks import BrokenLossError
from keras_vit.training.interruption import TrainingInterrupted
from keras_vit.training.recipes import Recipe
from keras_vit.training.resuming import locked
from keras_vit.training.state import Checkpoints, read

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
RECIPE = Recipe(epochs=8, batch_size=6, learning_rate=0.02, weight_decay=0.01)
ONE_EPOCH = RECIPE.replace(epochs=1)


def _model(seed=0, **fields):
    keras.utils.set_random_seed(seed)
    return VisionTransformer(TINY.replace(**fields))


@pytest.fixture(scope="module")
def run(image_sets, tmp_path_factory):
    """One short run: its model, data and result."""
    data, model = image_sets.data_in_memory(), _model()
    return model, data, train(RECIPE, model, data, output_dir=tmp_path_factory.mktemp("run"),
                              verbose=0)  # fmt: skip


def test_it_learns_what_is_easy(run):
    summary = run[2].summary
    assert summary["test_accuracy"] == 1.0
    assert summary["training_accuracy"] > 0.9


def test_every_file_is_there(run):
    _, data, result = run
    summary = json.loads(result.files["summary"].read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert summary["class_names"] == list(data.class_names)
    assert summary["steps"] == 32
    assert Recipe.from_dict(summary["recipe"]) == RECIPE
    lines = [json.loads(line) for line in result.files["history"].read_text().splitlines()]
    assert lines == result.history
    assert [line["step"] for line in lines] == list(range(4, 33, 4))
    assert {"val_loss", "val_accuracy", "learning_rate"} <= lines[0].keys()
    assert result.files["curves"].stat().st_size > 1000
    assert list(result.files["tensorboard"].rglob("events.out.tfevents.*"))


def test_the_saved_model_is_the_trained_one_and_nothing_more(run):
    model, _, result = run
    loaded = keras.saving.load_model(result.files["model"])
    images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    assert not loaded.compiled
    assert loaded.preprocessing == model.preprocessing


def test_without_a_split_to_watch_it_trains_all_the_same(image_sets, tmp_path):
    from keras_vit.data.dataset import ImageDataset

    data = ImageDataset("d", ("a", "b"), train=image_sets.data_in_memory().train)
    result = train(ONE_EPOCH, _model(), data, output_dir=tmp_path, verbose=0)
    assert result.summary["watched_split"] is None
    assert "val_loss" not in result.history[0]


def test_a_broken_loss_leaves_no_model(image_sets, tmp_path):
    model = _model()
    broken = [np.full_like(weight, np.nan) for weight in model.get_weights()]
    model.set_weights(broken)
    with pytest.raises(BrokenLossError, match="at step 1"):
        train(RECIPE, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    assert not (tmp_path / "model.keras").exists()


def test_an_older_model_stays_whole_until_the_new_one_is_ready(image_sets, tmp_path, monkeypatch):
    (tmp_path / "model.keras").write_text("older")

    def cut_short(model, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(VisionTransformer, "save", cut_short)
    with pytest.raises(OSError, match="disk full"):
        train(ONE_EPOCH, _model(), image_sets.data_in_memory(), output_dir=tmp_path,
              verbose=0)  # fmt: skip
    assert (tmp_path / "model.keras").read_text() == "older"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_model_for_other_classes_is_refused(image_sets, tmp_path):
    data = image_sets.data_in_memory(classes=3)
    with pytest.raises(ValueError, match="3 classes.*Received: num_classes=2"):
        train(RECIPE, _model(), data, output_dir=tmp_path)


def test_a_model_with_other_rates_than_the_recipe_is_refused(image_sets, tmp_path):
    recipe = RECIPE.replace(drop_path_rate=0.5)
    with pytest.raises(ValueError, match="drop_path_rate=0.5.*Received: drop_path_rate=0.0"):
        train(recipe, _model(), image_sets.data_in_memory(), output_dir=tmp_path)


def test_a_set_without_training_split_is_refused(image_sets, tmp_path):
    from keras_vit.data.dataset import ImageDataset

    data = ImageDataset("d", ("a", "b"), test=image_sets.data_in_memory().test)
    with pytest.raises(ValueError, match="'train'"):
        train(RECIPE, _model(), data, output_dir=tmp_path)


@pytest.mark.slow
def test_the_result_is_the_moving_average(image_sets, tmp_path):
    """A momentum of almost 1 keeps the weights near the first ones, however far training goes."""
    recipe = ONE_EPOCH.replace(warmup=0, decay="constant", ema_momentum=0.9999)
    model, first = _model(), _model().get_weights()
    train(recipe, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    moved = max(np.abs(a - b).max() for a, b in zip(model.get_weights(), first, strict=True))
    # Keras's average starts after the first step, which moves by the rate with Adam.
    assert 0 < moved < 1.1 * recipe.learning_rate


CUT_RECIPE = RECIPE.replace(epochs=None, steps=10, ema_momentum=0.5, drop_path_rate=0.3,
                            augmentation=Augmentation(translation=0.05))  # fmt: skip


def _cut_model(seed=0):
    return _model(seed, dropout_rate=0.2, drop_path_rate=0.3)


class Signal(keras.callbacks.Callback):
    """Sends a signal to this process: in a step, counted from 1, or in an evaluation."""

    def __init__(self, number, *, step=None, evaluation=None):
        super().__init__()
        self.number, self.when = number, (step, evaluation)
        self.done = [0, 0]

    def _count(self, index):
        self.done[index] += 1
        if self.done[index] == self.when[index]:
            os.kill(os.getpid(), self.number)

    def on_train_batch_begin(self, batch, logs=None):
        self._count(0)

    def on_test_begin(self, logs=None):
        self._count(1)


@pytest.fixture(scope="module")
def whole(image_sets, tmp_path_factory):
    """A run that is never cut short, and its model."""
    model = _cut_model()
    return model, train(CUT_RECIPE, model, image_sets.data_in_memory(),
                        output_dir=tmp_path_factory.mktemp("whole"), verbose=0)  # fmt: skip


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "number, when, stopped_at",
    [
        (signal.SIGTERM, {"step": 6}, 6),
        (signal.SIGINT, {"evaluation": 2}, 8),
        (signal.SIGTERM, {"step": 10}, 10),
    ],
)
def test_a_run_that_a_signal_ends_goes_on_to_the_same_end(
    whole, image_sets, tmp_path, capsys, number, when, stopped_at
):
    handler, data = signal.getsignal(number), image_sets.data_in_memory()
    with pytest.raises(TrainingInterrupted, match=f"after step {stopped_at}, saved") as caught:
        train(CUT_RECIPE, _cut_model(), data, output_dir=tmp_path, verbose=0,
              callbacks=[Signal(number, **when)])  # fmt: skip
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) is handler
    assert not (tmp_path / "model.keras").exists()

    model = _cut_model(seed=9)
    result = train(CUT_RECIPE, model, data, output_dir=tmp_path, verbose=2)
    assert f"Going on after step {stopped_at} of 10" in capsys.readouterr().out
    assert result.summary["resumed_at_steps"] == [stopped_at]
    for one, other in zip(whole[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    log = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert log == result.history
    for line, expected in zip(result.history, whole[1].history, strict=True):
        for name in expected.keys() - {"seconds", "images_per_second"}:
            assert line[name] == pytest.approx(expected[name], abs=1e-5), name
    assert result.summary["test_loss"] == pytest.approx(whole[1].summary["test_loss"], abs=1e-5)
    assert [name.name for name in tmp_path.glob("tensorboard/*")] == [
        result.files["tensorboard"].name
    ]


def test_training_goes_to_an_exact_step(whole):
    assert [line["step"] for line in whole[1].history] == [4, 8, 10]
    assert whole[1].history[-1]["learning_rate"] == pytest.approx(0, abs=1e-8)


def test_the_average_is_what_is_evaluated(whole):
    """The last line of the log is about the weights that are saved."""
    summary, last = whole[1].summary, whole[1].history[-1]
    assert summary["test_loss"] == pytest.approx(last["val_loss"], abs=1e-6)


def test_the_best_epoch_is_named_and_kept(whole):
    _, result = whole
    best = result.summary["best_epoch"]
    accuracies = [line["val_accuracy"] for line in result.history]
    assert best["test_accuracy"] == max(accuracies)
    assert best["epoch"] == 1 + accuracies.index(max(accuracies))
    names = sorted(path.name for path in result.files["checkpoints"].iterdir())
    assert names == ["best.safetensors", "step_00000010.safetensors"]


def test_a_checkpoint_is_opened_like_any_other(whole):
    """The best epoch was evaluated with the averages, so these are its weights."""
    result = whole[1]
    path = result.files["checkpoints"] / "best.safetensors"
    model = keras_vit.from_checkpoint(path)
    loaded = load_model(path)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.preprocessing == whole[0].preprocessing
    assert load_labels(model, path) == ["a", "b"]
    averages = {
        name.rsplit("/", 1)[1]: array
        for name, array in read(path).arrays.items()
        if name.endswith("_average")
    }
    for variable in model.trainable_variables:
        average = averages[variable.path.replace("/", "_") + "_average"]
        np.testing.assert_array_equal(variable, average)
    other = keras_vit.from_checkpoint(path, classes=5, image_size=16)
    assert other.output_shape == (None, 5)


@pytest.mark.slow
def test_a_checkpoint_of_frozen_parts_beside_averages_is_opened(image_sets, tmp_path):
    recipe = ONE_EPOCH.replace(ema_momentum=0.5, freeze="backbone")
    model = _model()
    result = train(recipe, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    opened = keras_vit.from_checkpoint(result.files["checkpoints"] / "best.safetensors")
    for one, other in zip(model.get_weights(), opened.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_run_is_returned_and_not_trained_again(whole, image_sets, capsys):
    trained, result = whole
    before = {path: path.stat().st_mtime_ns for path in result.files["model"].parent.iterdir()}
    model = _cut_model(seed=9)
    again = train(CUT_RECIPE, model, image_sets.data_in_memory(), verbose=2,
                  output_dir=result.files["model"].parent)  # fmt: skip
    assert "This run is finished" in capsys.readouterr().out
    assert (again.summary, again.history) == (result.summary, result.history)
    assert again.files == result.files
    for one, other in zip(trained.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_run_is_refused_with_its_differences(whole, image_sets):
    recipe = CUT_RECIPE.replace(steps=12, augmentation=Augmentation(translation=0.1))
    folder = whole[1].files["model"].parent
    with pytest.raises(ValueError, match="2 differences") as caught:
        train(recipe, _cut_model(), image_sets.data_in_memory(), output_dir=folder, verbose=0)
    text = str(caught.value)
    assert "recipe.steps: 10 in the checkpoint, 12 now" in text
    assert "recipe.augmentation.translation: 0.05 in the checkpoint, 0.1 now" in text
    assert "resume=False" in text
    model = _model(dropout_rate=0.2, drop_path_rate=0.3, mlp_dim=24)
    with pytest.raises(ValueError, match="model.config.mlp_dim: 16 in the checkpoint, 24 now"):
        train(CUT_RECIPE, model, image_sets.data_in_memory(), output_dir=folder, verbose=0)
    with pytest.raises(ValueError, match="data.images.train: 24 in the checkpoint, 30 now"):
        train(CUT_RECIPE, _cut_model(), image_sets.data_in_memory(train=30), output_dir=folder)


def test_a_finished_run_without_checkpoints_is_not_replaced_unasked(image_sets, tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="without a finished run.*resume=False"):
        train(RECIPE, _model(), image_sets.data_in_memory(), output_dir=tmp_path)


class Wreck(keras.callbacks.Callback):
    """Spoils the head before the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            kernel = self.model.trainable_variables[-2]
            kernel.assign(-9 * kernel)


@pytest.mark.slow
def test_the_best_epoch_is_kept_when_asked(image_sets, tmp_path, capsys):
    recipe = RECIPE.replace(epochs=2, warmup=0, decay="constant", keep="best", ema_momentum=0.1)
    model, data = _model(), image_sets.data_in_memory()
    result = train(recipe, model, data, output_dir=tmp_path, verbose=2, callbacks=[Wreck()])
    assert "Training 818 of 818 parameters (100 %) on 24 images" in capsys.readouterr().out
    best = result.summary["best_epoch"]
    assert result.history[1]["val_loss"] > 1.1 * result.history[0]["val_loss"]
    assert (best["epoch"], best["step"]) == (1, 4)
    assert result.summary["test_loss"] == pytest.approx(best["test_loss"], abs=1e-6)
    again = _model(seed=9)
    assert train(recipe, again, data, output_dir=tmp_path, verbose=0).summary == result.summary
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_folder_in_which_a_run_is_at_work_is_refused(image_sets, tmp_path):
    with locked(tmp_path), pytest.raises(RuntimeError, match="one is at work"):
        train(ONE_EPOCH, _model(), image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)


@pytest.mark.slow
def test_a_run_is_replaced_when_asked(image_sets, tmp_path):
    recipe, data = ONE_EPOCH, image_sets.data_in_memory()
    first = train(recipe, _model(), data, output_dir=tmp_path, verbose=0)
    recipe = recipe.replace(epochs=None, steps=2)
    second = train(recipe, _model(), data, output_dir=tmp_path, verbose=0, resume=False)
    assert second.summary["run_id"] != first.summary["run_id"]
    assert Checkpoints(tmp_path / "checkpoints").steps() == [2]
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1


def test_broken_weights_are_never_saved(image_sets, tmp_path):
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.trainable_variables[0].assign(
                    np.full(self.model.trainable_variables[0].shape, np.nan)
                )

    with pytest.raises(BrokenLossError, match="finite weights.*after step 3"):
        train(RECIPE, _model(), image_sets.data_in_memory(), output_dir=tmp_path, verbose=0,
              checkpoint_every=1, callbacks=[Break()])  # fmt: skip
    kept = Checkpoints(tmp_path / "checkpoints").latest()
    assert kept.step == 2
    assert all(np.isfinite(array).all() for array in kept.arrays.values())


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_is_named(image_sets, tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(OSError, match="checkpoints/step_00000004.*File exists"):
        train(RECIPE, _model(), image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)


@pytest.mark.slow
def test_any_keras_classifier_is_trained(image_sets, tmp_path):
    images = keras.Input((8, 8, 1))
    network = keras.layers.BatchNormalization()(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Dense(2)(network), name="rival")
    model.preprocessing = _model().preprocessing
    result = train(RECIPE.replace(epochs=2), model, image_sets.data_in_memory(),
                   output_dir=tmp_path, verbose=0)  # fmt: skip
    assert result.summary["model_name"] == "rival"
    assert "model" not in result.summary
    assert keras.saving.load_model(result.files["model"]).count_params() == model.count_params()
