"""A run that begins with a probe: the head of the probe, and resumed to the same bits."""

import keras
import numpy as np
import pytest

from keras_vit import evaluation
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import train
from keras_vit.training.probe_first import fit_head
from keras_vit.training.recipes import Recipe

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
RECIPE = Recipe(steps=6, batch_size=6, learning_rate=1e-3, probe_first=True)


def _model(**fields):
    keras.utils.set_random_seed(0)
    return VisionTransformer(TINY.replace(**fields))


@pytest.fixture(scope="module")
def data(image_sets):
    return image_sets.data_in_memory()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The weights of a run that was never cut short."""
    model, folder = _model(), tmp_path_factory.mktemp("whole")
    train(RECIPE, model, data, output_dir=folder, verbose=0)
    return model.get_weights()


def test_the_head_becomes_the_probe_and_nothing_else_changes(data):
    model = _model()
    before = model.get_weights()[:-2]
    fitted = fit_head(model, data, batch_size=7, seed=0)
    network = evaluation.feature_model(model)
    features = [
        evaluation.extract_features(
            network, data.split(role), 2, preprocessing=model.preprocessing
        )
        for role in ("train", "test")
    ]  # fmt: skip
    probe = evaluation.linear_probe(*features)
    assert (fitted.strength, fitted.held_out_accuracy) == (probe["C"], probe["held_out_accuracy"])
    images, labels = next(iter(data.batches(model, 8, "test")))
    found = model.predict(images, verbose=0).argmax(-1)
    assert (found == labels.numpy().argmax(-1)).mean() == probe["accuracy"]
    logits = features[1].vectors @ fitted.kernel + fitted.bias
    np.testing.assert_allclose(model.head(features[1].vectors), logits, atol=1e-4)
    for weight, other in zip(before, model.get_weights(), strict=False):
        np.testing.assert_array_equal(weight, other)


def test_training_begins_with_the_probe(data, tmp_path, capsys):
    model, probed = _model(), _model()
    train(RECIPE.replace(steps=1, learning_rate=1e-9), model, data, output_dir=tmp_path, verbose=2)
    fit_head(probed, data, batch_size=6, seed=0)
    for weight, other in zip(model.get_weights(), probed.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-7)
    assert "The head begins as a linear probe: C = " in capsys.readouterr().out


def test_a_class_of_one_image_is_no_hindrance(image_sets):
    data = image_sets.data_in_memory(train=2)
    model = _model()
    fitted = fit_head(model, data, batch_size=2, seed=0)
    images, labels = next(iter(data.batches(model, 2, "train")))
    assert (model.predict(images, verbose=0).argmax(-1) == labels.numpy().argmax(-1)).all()
    assert fitted.held_out_accuracy == 1


class Killed(keras.callbacks.Callback):
    """Ends the process, as far as the run can tell, after a step."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 3])
def test_a_run_that_is_killed_ends_as_one_that_was_not(data, whole, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, _model(), data, output_dir=tmp_path, verbose=0, checkpoint_every=2,
              callbacks=[Killed(step)])  # fmt: skip
    model = _model()
    train(RECIPE, model, data, output_dir=tmp_path, verbose=0, checkpoint_every=2)
    for weight, other in zip(model.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_a_model_without_one_linear_head_is_refused(data, tmp_path):
    model = _model(pooling="token+distillation", distillation_token=True)
    with pytest.raises(ValueError, match="one linear head.*probe_first=false"):
        train(RECIPE, model, data, output_dir=tmp_path, verbose=0)
