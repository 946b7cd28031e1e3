"""LiteRT files: operations of LiteRT alone, smaller where quantised, and still close."""

import json

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.exportable import Exportable
from keras_vit.export.forms.litert_file import interpreter


def operations(path):
    return [operation["op_name"] for operation in interpreter(path.read_bytes())._get_ops_details()]


def run(path, inputs):
    return interpreter(path.read_bytes()).get_signature_runner("serving_default")(images=inputs)


@pytest.fixture(scope="module")
def wide(make_model):
    return make_model(num_classes=7, hidden_size=128, mlp_dim=256, num_layers=2, gelu="erf")


@pytest.fixture(scope="module")
def size(wide):
    return sum(weight.numpy().nbytes for weight in wide.weights)


def test_only_operations_of_litert_are_used(exports):
    names = operations(exports[1]("litert"))
    assert names and not any(name.startswith(("Flex", "CUSTOM")) for name in names)
    assert "GELU" in names  # one operation where the converter knows it


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("quantize", "share", "atol"), [("float16", 0.6, 5e-3), ("int8", 0.4, 0.05)]
)
def test_quantised_files_are_smaller_and_agree(tmp_path, wide, size, images, quantize, share, atol):
    labels = list("abcdefg")
    path = export.litert(wide, tmp_path / "small.tflite", quantize, batch_size=2, labels=labels)
    assert path.stat().st_size < share * size
    expected = Exportable(wide).outputs(images[:2])["probabilities"]
    np.testing.assert_allclose(run(path, images[:2])["probabilities"], expected, atol=atol)
    values = json.loads((tmp_path / "small.tflite.json").read_text())
    assert values["labels"] == labels and values["quantize"] == quantize
    assert values["batch_size"] == 2 and values["preprocessing"]["size"] == [16, 24]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [2, None])
def test_static_integers_agree(tmp_path, wide, size, images, batch_size):
    path = export.litert(
        wide, tmp_path / "m.tflite", "int8_static", images=images, batch_size=batch_size
    )
    assert path.stat().st_size < 0.5 * size
    outputs = run(path, images[:2])
    assert outputs["logits"].dtype == np.float32
    expected = Exportable(wide).outputs(images[:2])["logits"]
    assert np.corrcoef(outputs["logits"].ravel(), expected.ravel())[0, 1] > 0.99
    assert operations(path).count("QUANTIZE") >= 4  # products of each block and MLP take integers


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 0},
        {"dtype": "mixed_bfloat16"},
        {"activation": None},
        {"activation": None, "num_classes": 1},
        {"gelu": "erf"},
    ],
)
def test_other_models(tmp_path, make_model, images, changes):
    model = make_model(**changes)
    path = export.litert(model, tmp_path / "model.tflite")
    expected = Exportable(model).outputs(images[:1])
    outputs = run(path, images[:1])
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        atol = 0.02 * np.abs(value).max() if "dtype" in changes else 1e-4
        np.testing.assert_allclose(outputs[name], value, atol=atol)


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": None},
        {"images": np.zeros((0, 16, 24, 3))},
        {"images": np.zeros((5, 24, 16, 3))},
        {"images": np.zeros((1, 16, 24, 3)), "batch_size": 2},
        {"images": np.zeros((1, 16, 24, 3)), "quantize": "int8"},
        {"quantize": "int4"},
    ],
)
def test_a_quantisation_that_cannot_be_is_refused(tmp_path, exports, wrong):
    with pytest.raises(ValueError, match="Expected.*Received"):
        export.litert(exports[0], tmp_path / "m.tflite", **{"quantize": "int8_static", **wrong})
    assert not list(tmp_path.iterdir())
