import json
import warnings
import zipfile

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.files.keras_archive import canonical_variables, load_archive
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


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A small model in a `.keras` file; not to be changed."""
    path = tmp_path_factory.mktemp("archive") / "model.keras"
    VisionTransformer(
        VisionTransformerConfig(
            image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
            num_classes=3,
        )
    ).save(path)  # fmt: skip
    return path


def _with_config(archive, path, change):
    """Writes a copy with another config.json."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == "config.json" else content)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_layers": 10**9}, r"at least 1536000003200 weights.* of \d+ bytes"),
        ({"num_classes": 10**8}, "at least 1600004688 weights"),
        ({"mlp_dim": 10**9}, "at least"),
        ({"num_register_tokens": 10**9}, "at least"),
        ({"patch_size": 80_000, "image_size": 80_000}, "at least"),
        ({"image_size": 8_000_000, "position_embedding": "sincos2d"}, "positions"),
        ({"num_heads": 1.5}, "`num_heads` to be an integer"),
        ({"shoe_size": 44}, "shoe_size"),
    ],
)
def test_a_config_of_more_than_the_file_holds_is_refused_before_it_is_built(
    archive, tmp_path, monkeypatch, fields, message
):
    def changed(content):
        values = json.loads(content)
        values["config"]["config"].update(fields)
        return json.dumps(values)

    _with_config(archive, tmp_path / "large.keras", changed)
    monkeypatch.delattr(keras.saving, "load_model")
    with pytest.raises(ValueError, match=rf"large\.keras.*{message}") as error:
        load_archive(tmp_path / "large.keras")
    assert "fetch it again" not in str(error.value)


@pytest.mark.parametrize(
    "config", [b" " * 2**25, b"[" * 100_000, b"[]", b"{", b"{}", b"null", b"\xff"]
)
def test_whatever_a_config_holds_is_one_error_that_names_the_file(archive, tmp_path, config):
    _with_config(archive, tmp_path / "odd.keras", lambda _: config)
    with pytest.raises(ValueError, match=r"Expected a \.keras file at .*odd\.keras"):
        load_archive(tmp_path / "odd.keras")


def test_a_config_too_large_to_be_one_is_not_read(archive, tmp_path):
    _with_config(archive, tmp_path / "odd.keras", lambda _: b" " * (2**24 + 1))
    with pytest.raises(ValueError, match=r"a config\.json of 16777217 bytes"):
        load_archive(tmp_path / "odd.keras")


def test_only_a_damaged_file_is_to_be_fetched_again(archive, tmp_path):
    content = archive.read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="fetch it again"):
        load_archive(tmp_path / "cut.keras")
