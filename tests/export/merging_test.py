"""A model that merges tokens, in every exported form: the same probabilities, for any batch."""

import importlib.util

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export.exportable import Exportable
from keras_vit.export.forms import FORMS
from keras_vit.export.graph import all_outputs


def tiny(**changes):
    config = {"image_size": 32, "patch_size": 8, "hidden_size": 64, "num_layers": 2,
              "num_heads": 2, "mlp_dim": 96, "num_classes": 7, "token_merging": 3}  # fmt: skip
    model = keras_vit.VisionTransformer(keras_vit.VisionTransformerConfig(**config | changes))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.2, weight.shape))
    return model


def images(count):
    return np.random.default_rng(1).normal(size=(count, 32, 32, 3)).astype("float32")


def assert_agrees(run, model, tolerance):
    plain = keras_vit.VisionTransformer(model.config.replace(token_merging=0))
    plain.set_weights(model.get_weights())
    for count in (2, 5):
        expected = Exportable(model).outputs(images(count))
        outputs = run(images(count))
        assert outputs["probabilities"].shape == (count, 7)
        for output in ("logits", "probabilities"):
            scale = max(1, np.abs(expected[output]).max())
            np.testing.assert_allclose(
                outputs[output], expected[output], rtol=0, atol=tolerance * scale
            )
        unmerged = Exportable(plain).outputs(images(count))["probabilities"]
        assert np.abs(outputs["probabilities"] - unmerged).max() > 10 * tolerance


@pytest.mark.few(1)
@pytest.mark.parametrize("pooling", ["gap", "token"])
def test_the_graph_of_all_forms_agrees_for_any_batch(pooling):
    model = tiny(pooling=pooling)
    assert_agrees(all_outputs(Exportable(model)), model, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["gap", "token"])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_agrees_for_any_batch(name, pooling, tmp_path):
    form = FORMS[name]
    for package in form.needs:
        if not importlib.util.find_spec(package):
            pytest.skip(f"needs {package}")
    model = tiny(pooling=pooling)
    exported = export.open_exported(form.write(model, tmp_path / f"model{form.suffix}"))
    assert_agrees(exported, model, 1e-4)


@pytest.mark.slow
def test_dynamic_integers_stay_close(tmp_path):
    model = tiny(pooling="gap")
    path = export.litert(model, tmp_path / "model.tflite", "int8", batch_size=5)
    outputs = export.open_exported(path)(images(10))
    expected = Exportable(model).outputs(images(10))
    assert np.corrcoef(outputs["logits"].ravel(), expected["logits"].ravel())[0, 1] > 0.99
    np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"], atol=0.05)


@pytest.mark.slow
def test_static_integers_leave_the_merging_alone(tmp_path):
    model = tiny(pooling="gap")
    path = export.litert(
        model, tmp_path / "model.tflite", "int8_static", batch_size=5, images=images(20)
    )
    outputs = export.open_exported(path)(images(10))
    expected = Exportable(model).outputs(images(10))
    assert np.corrcoef(outputs["logits"].ravel(), expected["logits"].ravel())[0, 1] > 0.99
    np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"], atol=0.05)
