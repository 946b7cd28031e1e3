"""ONNX files: weights by their names, any batch and size, large weights in a file of their own."""

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.exportable import Exportable
from keras_vit.export.forms import onnx_file

onnx = pytest.importorskip("onnx", reason="needs onnx")
pytest.importorskip("tf2onnx", reason="needs tf2onnx")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")


def agrees(model, path, images, share=1e-4):
    outputs = export.open_exported(path)(images)
    expected = Exportable(model).outputs(images)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        assert outputs[name].dtype == np.float32 and outputs[name].shape == value.shape
        atol = share * max(1, np.abs(value).max())
        np.testing.assert_allclose(outputs[name], value, atol=atol)


def test_the_weights_keep_their_names_and_the_batch_is_free(exports, images):
    model, path = exports
    path = path("onnx")
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["images"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    names = {tensor.name for tensor in graph.initializer}
    assert {weight.path for weight in model.weights} <= names
    assert export.open_exported(path)(images[:0])["logits"].shape == (0, 4)


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
def test_other_models_agree(tmp_path, make_model, images, changes):
    model = make_model(**changes)
    path = export.onnx(model, tmp_path / "model.onnx")
    agrees(model, path, images, 0.05 if "dtype" in changes else 1e-4)


def test_images_of_any_size_agree(tmp_path, make_model):
    model = make_model(dynamic_image_size=True, gelu="erf")
    path = export.onnx(model, tmp_path / "model.onnx")
    agrees(model, path, np.random.default_rng(1).normal(size=(2, 32, 16, 3)).astype("float32"))


def test_a_fixed_batch_and_large_weights_in_a_file_of_their_own(
    tmp_path, monkeypatch, make_model, images
):
    monkeypatch.setattr(onnx_file, "MAX_BYTES_WITHIN", 1000)
    model = make_model()
    path = export.onnx(model, tmp_path / "model.onnx", batch_size=2)
    dimension = (
        onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim[0]
    )
    assert dimension.dim_value == 2
    data = tmp_path / "model.onnx.data"
    assert data.stat().st_size > path.stat().st_size
    assert onnx_file.ONNX.files(path) == [path, data]
    agrees(model, path, images[:3])
