"""From a folder with a labels.csv to a trained model, its figures and its predictions."""

import csv
import json

import pytest

KINDS = {
    "labels": ("odd,low", lambda n: f"{n % 2},{int(n < 12)}", "Mean average precision"),
    "regression": ("number", lambda n: f"{n}.5", "Mean absolute error"),
}


@pytest.mark.parametrize("task", KINDS)
def test_a_table_becomes_a_model_figures_and_predictions(run, image_sets, tmp_path, task):
    header, cell, figure = KINDS[task]
    photos = image_sets.write_folder(tmp_path / "photos", {"a": 24})
    rows = [f"a/{number:03d}.png,{cell(number)}" for number in range(24)]
    (photos / "labels.csv").write_text("\n".join([f"file,{header}", *rows]))
    flags = [f"--dataset={photos}", "--model=digits", "--set=steps=2", "--set=batch_size=8",
             f"--output_dir={tmp_path / 'run'}", "--set=image_size=16",
             *(["--set=class_weights=balanced"] if task == "labels" else [])]  # fmt: skip
    result = run("train", *flags)
    assert result.returncode == 0, result.stderr
    assert f"task: {task}" in result.stdout
    model = tmp_path / "run" / "model.keras"
    result = run("evaluate", f"--model={model}", f"--dataset={photos}")
    assert result.returncode == 0, result.stderr
    assert figure in result.stdout
    values = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert values["task"] == task and len(values["rows"]) == len(header.split(","))
    table = tmp_path / "told.csv"
    result = run("predict", f"--model={model}", f"--output={table}", photos / "a")
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 24
    if task == "regression":
        assert rows[0].keys() == {"file", "number", "error"} and float(rows[0]["number"]) > 0
    else:
        assert {rows[0]["label"], rows[0]["label_2"]} == {"odd", "low"}
