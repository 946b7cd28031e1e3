"""`keras-vit predict`."""

import csv
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import export


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that sees red, green or blue, its export, and pictures of one colour each."""
    folder = tmp_path_factory.mktemp("run")
    config = keras_vit.VisionTransformerConfig(
        image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=3, pooling="gap", class_token=False,
    )  # fmt: skip
    model = keras_vit.VisionTransformer(config)
    for weight in model.weights:
        if "projection" in weight.path and weight.path.endswith("kernel"):
            weight.assign(np.tile(np.eye(3, 16), (64, 1)) / 8)
        elif weight.path.endswith("head/kernel"):
            weight.assign(np.eye(16, 3) * 5)
        elif "position" in weight.path or "block" in weight.path and weight.path.endswith("kernel"):
            weight.assign(np.zeros(weight.shape))
    model.save(folder / "model.keras")
    (folder / "summary.json").write_text('{"class_names": ["red", "green", "blue"]}')
    export.saved_model(model, folder / "served", labels=["red", "green", "blue"])
    export.litert(model, folder / "small.tflite", "int8", labels=["red", "green", "blue"])
    (folder / "images").mkdir()
    for index, name in enumerate(["red", "green", "blue"]):
        pixels = np.zeros((20, 20, 3), "uint8")
        pixels[..., index] = 255
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
    return folder


@pytest.mark.parametrize("model", ["model.keras", "served", "small.tflite"])
def test_json_names_every_file(run, folder, model):
    result = run(
        "predict",
        f"--model={folder / model}",
        "--top_k=2",
        "--output=json",
        folder / "images" / "*.png",
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    names = {pathlib.Path(row["file"]).stem: row["predictions"] for row in rows}
    assert {name: best[0]["label"] for name, best in names.items()} == {
        "red": "red", "green": "green", "blue": "blue",
    }  # fmt: skip
    assert all(len(best) == 2 and best[0]["score"] > 0.5 for best in names.values())


def test_text_goes_on_after_a_bad_file_and_fails(run, folder, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    red = folder / "images" / "red.png"
    result = run(
        "predict", f"--model={folder / 'model.keras'}", f"--images={tmp_path / 'bad.png'}", red
    )
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0] == str(tmp_path / "bad.png") and "Expected a JPEG" in lines[1]
    assert lines[2] == str(red) and lines[3].endswith("%  red")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["out/rows.csv", "out/rows.json"])
def test_a_file_has_a_row_for_each_image_and_the_reason_where_there_is_none(
    run, folder, tmp_path, name
):
    (tmp_path / "bad.png").write_text("no image")
    sources = [folder / "images", tmp_path / "bad.png", tmp_path / "gone.png", tmp_path / "*.jpg"]
    model, output = f"--model={folder / 'model.keras'}", f"--output={tmp_path / name}"
    result = run("predict", model, output, "--top_k=2", "--batch_size=2", *sources)
    assert result.returncode == 1 and name in result.stdout
    text = (tmp_path / name).read_text()
    if name.endswith("json"):
        rows = [
            {"file": row["file"], "error": row.get("error", "")}
            | ({"label": row["predictions"][0]["label"]} if "predictions" in row else {"label": ""})
            for row in json.loads(text)
        ]
    else:
        rows = list(csv.DictReader(text.splitlines()))
        assert [*rows[0]] == ["file", "label", "score", "label_2", "score_2", "error"]
        assert float(rows[0]["score"]) > 0.5 > float(rows[0]["score_2"])
    assert [row["label"] for row in rows] == ["blue", "green", "red", "", "", ""]
    assert [bool(row["error"]) for row in rows] == [False] * 3 + [True] * 3
    assert rows[4]["file"] == str(tmp_path / "gone.png")
    assert "no image was found" in rows[4]["error"] and "Expected a JPEG" in rows[3]["error"]


def test_an_output_that_is_no_table_is_refused(run, folder):
    result = run("predict", f"--model={folder / 'model.keras'}", "--output=rows.xlsx", folder)
    assert result.returncode == 1 and ".csv or .json" in result.stderr


def test_images_of_another_size(run, folder):
    arguments = [f"--model={folder / 'model.keras'}", "--output=json", folder / "images"]
    result = run("predict", *arguments, "--image_size=32")
    assert result.returncode == 0, result.stderr
    assert [row["predictions"][0]["label"] for row in json.loads(result.stdout)] == [
        "blue", "green", "red",
    ]  # fmt: skip
    result = run("predict", *arguments, "--image_size=30")
    assert result.returncode == 1 and "30" in result.stderr.splitlines()[-1]
    result = run("predict", f"--model={folder / 'small.tflite'}", "--image_size=32", folder)
    assert result.returncode == 1 and "which has its own" in result.stderr


def test_a_missing_model_is_one_line(run, folder):
    result = run("predict", "--model=nowhere.keras", folder / "images")
    assert result.returncode == 1 and "nowhere.keras" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
