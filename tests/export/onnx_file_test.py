"""ONNX files: the same answers from ONNX Runtime, for any batch."""

import json

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export import onnx_file
from keras_vit.export.agreement import model_outputs

onnx = pytest.importorskip("onnx", reason="needs onnx")
pytest.importorskip("tf2onnx", reason="needs tf2onnx")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")


def tiny(dtype=None, activation="softmax", **changes):
    config = {"image_size": (16, 24), "patch_size": 8, "hidden_size": 64, "num_layers": 1,
              "num_heads": 2, "mlp_dim": 64, "num_classes": 7} | changes  # fmt: skip
    model = keras_vit.VisionTransformer(
        keras_vit.VisionTransformerConfig(**config), classifier_activation=activation, dtype=dtype
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.2, weight.shape))
    return model


def images(count, shape=(16, 24, 3)):
    return np.random.default_rng(1).normal(size=(count, *shape)).astype("float32")


def agrees(model, path, count, atol=1e-5):
    outputs = export.open_exported(path)(images(count))
    expected = model_outputs(model, images(count))
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        assert outputs[name].dtype == np.float32 and outputs[name].shape == value.shape
        np.testing.assert_allclose(outputs[name], value, atol=atol)


def test_any_batch_agrees_and_the_weights_keep_their_names(tmp_path):
    model = tiny(gelu="erf")
    path = export.onnx(model, tmp_path / "model.onnx", labels=list("abcdefg"))
    for count in (0, 1, 3):
        agrees(model, path, count)
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["images"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {weight.path for weight in model.weights} <= {
        tensor.name for tensor in graph.initializer
    }
    values = json.loads((tmp_path / "model.onnx.json").read_text())
    assert values["labels"] == list("abcdefg") and values["format"] == "onnx"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 0},
        {"dtype": "mixed_bfloat16"},
        {"activation": None, "mlp": "swiglu", "qk_norm": True},
        {"pooling": "map", "class_token": False, "layer_scale": 0.1},
        {"num_register_tokens": 2, "gelu": "quick", "pre_logits_size": 8},
    ],
)
def test_other_models_agree(tmp_path, changes):
    model = tiny(**changes)
    path = export.onnx(model, tmp_path / "model.onnx")
    agrees(model, path, 2, atol=0.05 if "dtype" in changes else 1e-4)


def test_images_of_any_size_agree(tmp_path):
    model = tiny(dynamic_image_size=True)
    path = export.onnx(model, tmp_path / "model.onnx")
    inputs = images(2, (32, 16, 3))
    outputs = export.open_exported(path)(inputs)
    for name, value in model_outputs(model, inputs).items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-4)


def test_a_fixed_batch_runs_any_number_of_images(tmp_path):
    model = tiny()
    path = export.onnx(model, tmp_path / "model.onnx", batch_size=2)
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    agrees(model, path, 3)


def test_large_weights_stand_in_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MAX_BYTES_WITHIN", 1000)
    model = tiny()
    path = export.onnx(model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").stat().st_size > path.stat().st_size
    agrees(model, path, 1)


def test_a_file_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    other = onnx_file._convert(tiny(), None)
    model = tiny()
    model.get_layer("head").bias.assign(np.arange(7))
    monkeypatch.setattr(onnx_file, "_convert", lambda *arguments: other)
    with pytest.raises(RuntimeError, match="Expected `(logits|probabilities)` of the ONNX file"):
        export.onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong", [{"path": "model.pb"}, {"batch_size": True}, {"labels": ["a"]}, {"model": None}]
)
def test_wrong_arguments_are_refused(tmp_path, wrong):
    arguments = {"model": tiny(), "path": "model.onnx", **wrong}
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError, match="Expected.*Received"):
        export.onnx(**arguments)
    assert not list(tmp_path.iterdir())
