"""LiteRT files: the same answers, from operations of LiteRT alone."""

import json

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export import litert_file, runtimes
from keras_vit.export.agreement import model_outputs


def tiny(dtype=None, activation="softmax", **changes):
    config = {"image_size": (16, 24), "patch_size": 8, "hidden_size": 64, "num_layers": 2,
              "num_heads": 2, "mlp_dim": 128, "num_classes": 7} | changes  # fmt: skip
    model = keras_vit.VisionTransformer(
        keras_vit.VisionTransformerConfig(**config), classifier_activation=activation, dtype=dtype
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.1, weight.shape))
    return model


def images(count):
    return np.random.default_rng(1).normal(size=(count, 16, 24, 3)).astype("float32")


def run(path, inputs):
    interpreter = runtimes.litert_interpreter(path.read_bytes())
    names = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in names)
    return interpreter.get_signature_runner("serving_default")(images=inputs)


@pytest.mark.parametrize("gelu", ["tanh", "erf"])
def test_float32_agrees_for_any_batch(tmp_path, gelu):
    model = tiny(gelu=gelu)
    path = export.litert(model, tmp_path / "model.tflite")
    for count in (1, 3):
        outputs = run(path, images(count))
        assert outputs.keys() == {"features", "logits", "probabilities"}
        np.testing.assert_allclose(outputs["probabilities"], model(images(count)), atol=1e-5)


@pytest.mark.parametrize(
    ("quantize", "share", "atol"), [("float16", 0.62, 5e-3), ("int8", 0.5, 0.05)]
)
def test_quantised_files_are_smaller_and_agree(tmp_path, quantize, share, atol):
    model = tiny(num_layers=3)
    full = export.litert(model, tmp_path / "full.tflite").stat().st_size
    path = export.litert(model, tmp_path / "small.tflite", quantize, batch_size=2)
    assert path.stat().st_size < share * full
    np.testing.assert_allclose(run(path, images(2))["probabilities"], model(images(2)), atol=atol)


@pytest.mark.parametrize(
    "changes", [{"num_classes": 0}, {"dtype": "mixed_bfloat16"}, {"activation": None}]
)
def test_other_models(tmp_path, changes):
    model = tiny(**changes)
    outputs = run(export.litert(model, tmp_path / "model.tflite"), images(1))
    name = "features" if "num_classes" in changes else "probabilities"
    expected = np.asarray(model(images(1)))
    if "activation" in changes:
        expected = np.exp(expected) / np.exp(expected).sum(-1, keepdims=True)
    np.testing.assert_allclose(outputs[name], expected, atol=0.02)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_static_integers_agree(tmp_path, batch_size):
    model = tiny(gelu="erf")
    full = export.litert(model, tmp_path / "full.tflite").stat().st_size
    path = export.litert(
        model, tmp_path / "m.tflite", "int8_static", images=images(20), batch_size=batch_size
    )
    assert path.stat().st_size < 0.6 * full
    outputs = run(path, images(2))
    assert outputs["logits"].dtype == np.float32
    expected = model_outputs(model, images(2))["logits"]
    assert np.corrcoef(outputs["logits"].ravel(), expected.ravel())[0, 1] > 0.99
    names = [
        o["op_name"] for o in runtimes.litert_interpreter(path.read_bytes())._get_ops_details()
    ]
    assert names.count("QUANTIZE") >= 4  # both products of each block and MLP take integers


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": None},
        {"images": np.zeros((0, 16, 24, 3))},
        {"images": np.zeros((5, 24, 16, 3))},
        {"images": images(1), "batch_size": 2},
        {"images": images(1), "quantize": "int8"},
    ],
)
def test_images_that_static_integers_cannot_learn_from_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="Expected.*`images`.*Received"):
        export.litert(tiny(), tmp_path / "m.tflite", **{"quantize": "int8_static", **wrong})
    assert not list(tmp_path.iterdir())


def test_metadata_stands_beside_the_file(tmp_path):
    export.litert(tiny(), tmp_path / "model.tflite", "int8", labels=list("abcdefg"), batch_size=1)
    values = json.loads((tmp_path / "model.tflite.json").read_text())
    assert values["labels"] == list("abcdefg") and values["quantize"] == "int8"
    assert values["preprocessing"]["size"] == [16, 24]


def test_a_file_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    other = litert_file._convert(tiny(num_layers=1), None, None)
    monkeypatch.setattr(litert_file, "_convert", lambda *arguments: other)
    with pytest.raises(RuntimeError, match="Expected `features`"):
        export.litert(tiny(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "model"},
        {"quantize": "int4"},
        {"batch_size": 0},
        {"labels": ["a"]},
        {"model": None},
    ],
)
def test_wrong_arguments_are_refused(tmp_path, wrong):
    arguments = {"model": tiny(), "path": "model.tflite", **wrong}
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError, match="Expected.*Received"):
        export.litert(**arguments)
    assert not list(tmp_path.iterdir())
