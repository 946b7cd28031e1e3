import warnings

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.load import load_weights


def _model(case, **changes):
    """A model of the case's architecture with weights of its own."""
    config = from_checkpoint(case.source, **case.arguments).config.replace(**changes)
    model = VisionTransformer(config)
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape).astype("float32"))
    return model


def _values(model):
    return {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in canonical_variables(model).items()
    }


def _assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture
def token(golden):
    return golden("google/vit_token")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_files_of_keras_are_loaded(token, tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    saved = _model(token)
    saved.save(path) if suffix == ".keras" else saved.save_weights(path)
    model = VisionTransformer(saved.config)
    report = load_weights(model, path)
    assert report.layout == "keras"
    _assert_same(_values(model), _values(saved))


def test_a_keras_file_is_resized_and_gets_another_head_too(token, tmp_path):
    saved = _model(token)
    saved.save(tmp_path / "model.keras")
    report = load_weights(
        _model(token, image_size=(24, 24), num_classes=5), tmp_path / "model.keras"
    )
    assert report.resized and report.fresh


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_keras_files_that_do_not_fit_change_nothing(token, tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    other = _model(token, num_layers=1, mlp_dim=24)
    other.save(path) if suffix == ".keras" else other.save_weights(path)
    model = _model(token)
    before = _values(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="model"):
            load_weights(model, path)
        _assert_same(_values(model), before)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match="model"):
            load_weights(model, path)
    _assert_same(_values(model), before)


def test_a_keras_file_of_another_model_is_refused(token, tmp_path):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="Sequential"):
        load_weights(_model(token), tmp_path / "other.keras")


def test_a_keras_file_with_nan_is_refused(token, tmp_path):
    saved = _model(token)
    saved.get_layer("head").bias.assign(np.full(10, np.nan, "float32"))
    saved.save(tmp_path / "nan.keras")
    model = _model(token)
    before = _values(model)
    with pytest.raises(ValueError, match="finite"):
        load_weights(model, tmp_path / "nan.keras")
    _assert_same(_values(model), before)
