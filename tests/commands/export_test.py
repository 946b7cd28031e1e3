"""`keras-vit export`."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_vit


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    config = keras_vit.VisionTransformerConfig(
        image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=3,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("run") / "model.keras"
    model = keras_vit.VisionTransformer(config)
    model.get_layer("head").kernel.assign(np.random.default_rng(0).normal(size=(16, 3)))
    model.save(path)
    (path.parent / "summary.json").write_text('{"class_names": ["ant", "bee", "cow"]}')
    return path


def test_export_writes_checks_and_says_so(run, model_file, tmp_path):
    result = run(
        "export", f"--model={model_file}", f"--output_dir={tmp_path / 'served'}", "--top_k=2"
    )
    assert result.returncode == 0, result.stderr
    assert str(tmp_path / "served" / "1") in result.stdout
    assert "compared with the model in its own runtime" in result.stdout
    metadata = json.loads((tmp_path / "served" / "1" / "metadata.json").read_text())
    assert metadata["labels"] == ["ant", "bee", "cow"]


def test_labels_that_do_not_fit_are_one_line(run, model_file, tmp_path):
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    result = run(
        "export", f"--model={model_file}", f"--output_dir={tmp_path / 'served'}",
        f"--labels={tmp_path / 'labels.txt'}",
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(f"Error: '{tmp_path / 'labels.txt'}'")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "served").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "name", "tool", "flags"),
    [
        ("litert", "model.tflite", "tensorflow", ["--quantize=int8"]),
        ("onnx", "model.onnx", "tf2onnx", ["--batch_size=2"]),
        ("openvino", "model.xml", "openvino", []),
    ],
)
def test_a_file_is_named_after_the_model(run, model_file, tmp_path, form, name, tool, flags):
    pytest.importorskip(tool, reason=f"needs {tool}")
    result = run(
        "export", f"--model={model_file}", f"--output_dir={tmp_path}", f"--format={form}", *flags
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / name).exists() and name in result.stdout
    values = json.loads((tmp_path / f"{name}.json").read_text())
    assert values["labels"] == ["ant", "bee", "cow"] and values["format"] == form


def test_several_forms_are_written_in_one_go_each_with_the_options_that_it_has(
    run, model_file, tmp_path
):
    flags = ["--format=saved_model,litert", "--top_k=2", "--quantize=int8"]
    result = run("export", f"--model={model_file}", f"--output_dir={tmp_path}", *flags)
    assert result.returncode == 0, result.stderr
    assert "SavedModel" in result.stdout and "LiteRT file" in result.stdout
    values = json.loads((tmp_path / "model.tflite.json").read_text())
    assert values["quantize"] == "int8" and (tmp_path / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_static_integers_learn_from_image_files(run, model_file, tmp_path):
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    arguments = [f"--model={model_file}", f"--output_dir={tmp_path / 'out'}", "--format=litert"]
    result = run("export", *arguments, "--quantize=int8_static", f"--images={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "model.tflite").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--format=onnx", "--quantize=int8"],
        ["--batch_size=2"],
        ["--images=x.png"],
        ["--format=onnx,caffe"],
        ["--format=onnx,openvino", "--top_k=2"],
    ],
)
def test_flags_that_do_not_fit_are_one_line(run, model_file, tmp_path, flags):
    result = run("export", f"--model={model_file}", f"--output_dir={tmp_path / 'out'}", *flags)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("Error: Expected")
    assert not (tmp_path / "out").exists()
