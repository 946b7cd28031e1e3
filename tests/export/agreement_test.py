"""The comparison in a fresh process finds agreement, and its absence."""

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export.agreement import RUNNER, agreement


def tiny(**changes):
    config = {"image_size": 16, "patch_size": 8, "hidden_size": 32, "num_layers": 1, "num_heads": 2,
              "mlp_dim": 32, "num_classes": 6} | changes  # fmt: skip
    model = keras_vit.VisionTransformer(keras_vit.VisionTransformerConfig(**config))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def test_an_exported_model_agrees_until_its_weights_change(tmp_path):
    model = tiny()
    folder = export.saved_model(model, tmp_path)
    assert export.check(model, folder) < 1e-5
    model.get_layer("head").bias.assign(np.arange(6) / 10)
    assert export.check(model, folder) > 0.01


def test_models_without_head_and_own_images(tmp_path):
    model = tiny(num_classes=0, in_channels=1)
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 1), "uint8")
    assert export.check(model, export.saved_model(model, tmp_path), images) < 1e-5


def test_a_model_that_does_not_load_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="exit status 1"):
        export.check(tiny(), tmp_path)


def test_the_process_blocks_keras():
    assert 'sys.modules["keras"] = sys.modules["keras_vit"] = None' in RUNNER.read_text()


def test_agreement_of_logits_and_classes():
    logits = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    other = logits.copy()
    other[0] = [0.0, 1.0]
    expected, received = (
        {"logits": values, "probabilities": values / 10} for values in (logits, other)
    )
    values = agreement(expected, received, labels=[1, 1, 1, 1])
    assert values == {
        "max_difference": pytest.approx(0.1),
        "cosine": pytest.approx(0.75),
        "top1_agreement": 0.75,
        "accuracy": 0.75,
    }
    assert "accuracy" not in agreement(expected, expected)
