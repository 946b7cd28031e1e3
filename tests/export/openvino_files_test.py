"""OpenVINO's form: the same answers, for any batch, in float32 and nearly so in bfloat16."""

import json

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export import openvino_files
from keras_vit.export.agreement import model_outputs

pytest.importorskip("openvino", reason="needs openvino")


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


def images(count):
    return np.random.default_rng(1).normal(size=(count, 16, 24, 3)).astype("float32")


def test_any_batch_agrees(tmp_path):
    model = tiny()
    path = export.openvino(model, tmp_path / "model.xml", labels=list("abcdefg"))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["model.bin", "model.xml", "model.xml.json"]
    exported = export.open_exported(path)
    for count in (1, 3):
        expected = model_outputs(model, images(count))
        outputs = exported(images(count))
        assert outputs.keys() == expected.keys()
        for name, value in expected.items():
            assert outputs[name].dtype == np.float32
            np.testing.assert_allclose(outputs[name], value, atol=1e-4)
    low = export.open_exported(path, precision="bf16")(images(3))
    np.testing.assert_allclose(low["probabilities"], expected["probabilities"], atol=0.05)
    assert json.loads((tmp_path / "model.xml.json").read_text())["labels"] == list("abcdefg")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 0},
        {"dtype": "mixed_bfloat16"},
        {"activation": None, "mlp": "swiglu", "qk_norm": True},
        {"pooling": "map", "class_token": False, "gelu": "erf"},
    ],
)
def test_other_models_agree(tmp_path, changes):
    model = tiny(**changes)
    path = export.openvino(model, tmp_path / "model.xml", batch_size=2)
    outputs = export.open_exported(path)(images(3))
    for name, value in model_outputs(model, images(3)).items():
        atol = 0.05 if "dtype" in changes else 1e-4
        np.testing.assert_allclose(outputs[name], value, atol=atol)


def test_a_model_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    other = openvino_files._convert(tiny(), None)
    model = tiny()
    model.get_layer("head").bias.assign(np.arange(7))
    monkeypatch.setattr(openvino_files, "_convert", lambda *arguments: other)
    with pytest.raises(RuntimeError, match="of the OpenVINO model within"):
        export.openvino(model, tmp_path / "model.xml")
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ends in .xml"):
        export.openvino(tiny(), tmp_path / "model.onnx")
