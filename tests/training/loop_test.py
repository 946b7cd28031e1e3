"""A run learns, leaves whole files behind, repeats itself and stops when it must."""

import json

import keras
import numpy as np
import pytest

from keras_vit.configs import VisionTransformerConfig
from keras_vit.data.augment import Augmentation
from keras_vit.training.callbacks import BrokenLossError
from keras_vit.training.loop import train
from keras_vit.training.recipes import Recipe
from keras_vit.vision_transformer import VisionTransformer

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=2, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
RECIPE = Recipe(epochs=8, batch_size=6, learning_rate=0.02, weight_decay=0.01,
                augmentation=Augmentation(translation=0.05))  # fmt: skip


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


def test_the_same_seed_gives_the_same_model(run, image_sets, tmp_path):
    model, data, _ = run
    again = _model()
    train(RECIPE, again, data, output_dir=tmp_path, verbose=0)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_training_goes_to_an_exact_step(image_sets, tmp_path):
    recipe = RECIPE.replace(epochs=None, steps=6)
    result = train(recipe, _model(), image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    assert [line["step"] for line in result.history] == [4, 6]
    assert result.history[-1]["learning_rate"] == pytest.approx(0, abs=1e-8)


def test_without_a_split_to_watch_it_trains_all_the_same(image_sets, tmp_path):
    from keras_vit.data.dataset import ImageDataset

    data = ImageDataset("d", ("a", "b"), train=image_sets.data_in_memory().train)
    result = train(RECIPE.replace(epochs=1), _model(), data, output_dir=tmp_path, verbose=0)
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
        train(RECIPE.replace(epochs=1), _model(), image_sets.data_in_memory(), output_dir=tmp_path,
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


def test_the_result_is_the_moving_average(image_sets, tmp_path):
    """A momentum of almost 1 keeps the weights near the first ones, however far training goes."""
    recipe = RECIPE.replace(epochs=2, warmup=0, decay="constant", ema_momentum=0.9999)
    model, first = _model(), _model().get_weights()
    train(recipe, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0)
    moved = max(np.abs(a - b).max() for a, b in zip(model.get_weights(), first, strict=True))
    # Keras's average starts after the first step, which moves by the rate with Adam.
    assert 0 < moved < 1.1 * recipe.learning_rate
