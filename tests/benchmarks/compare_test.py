"""scripts/compare.py from the command line: a tiny ViT beside a small convolutional network."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(*flags):
    command = [sys.executable, ROOT / "scripts" / "compare.py", *map(str, flags)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=ENVIRONMENT
    )


@pytest.fixture(scope="module")
def photos(image_sets, tmp_path_factory):
    return image_sets.write_folder(tmp_path_factory.mktemp("compare") / "p", {"a": 20, "b": 20})


def test_two_models_are_trained_once_and_drawn(photos, tmp_path):
    flags = (f"--dataset={photos}", f"--output_dir={tmp_path}", "--image_size=16", "--model=small",
             "--baseline=MobileNetV2:alpha=0.35", "--set", "batch_size=8", "--gflop=0.3",
             "--shares=1", "--seeds=1")  # fmt: skip
    result = run(*flags)
    assert result.returncode == 0, result.stderr
    values = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["model"] for row in values["rows"]] == ["small", "MobileNetV2:alpha=0.35"]
    for row in values["rows"]:
        assert row["steps"] > 0 and row["split"] == "validation"
        assert row["flops"] == row["steps"] * 3 * 8 * row["flops_an_image"]
        assert 0.3e9 - 3 * 8 * row["flops_an_image"] < row["flops"] <= 0.3e9
    table = (tmp_path / "comparison.md").read_text()
    assert table in result.stdout
    assert "| 100 % | small |" in table
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    assert not list(tmp_path.glob("runs/*/model.keras"))
    results = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/result.json")}
    assert len(results) == 2

    again = run(*flags)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("as found in") == 2
    assert results == {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*.json")
                       if path.name == "result.json"}  # fmt: skip
    assert (tmp_path / "comparison.md").read_text() == table


def test_an_unknown_baseline_is_one_line(photos, tmp_path):
    result = run(f"--dataset={photos}", f"--output_dir={tmp_path}", "--baseline=ResNet152V3")
    assert result.returncode == 1
    assert "Error: Expected a model of keras.applications. Received: 'ResNet152V3'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
