"""scripts/train.py from the command line."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(*flags):
    command = [sys.executable, ROOT / "scripts" / "train.py", *map(str, flags)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=ENVIRONMENT
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes of easy images."""
    path = pathlib.Path(__file__).parents[1] / "image_sets.py"
    spec = importlib.util.spec_from_file_location("image_sets", path)
    image_sets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(image_sets)
    return image_sets.write_folder(tmp_path_factory.mktemp("photos"), {"cat": 10, "dog": 10})


def test_a_folder_becomes_a_model_and_its_record(photos, tmp_path):
    result = run(f"--dataset={photos}", "--model=digits", "--recipe=digits", "--set=steps=3",
                 "--set=batch_size=8", "--seed=5", f"--output_dir={tmp_path / 'run'}")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "2 classes, images: 16 train, 4 validation" in result.stdout
    assert "Accuracy on the validation split" in result.stdout
    for name in ("model.keras", "summary.json", "history.jsonl", "curves.png"):
        assert str(tmp_path / "run" / name) in result.stdout
        assert (tmp_path / "run" / name).stat().st_size > 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["class_names"] == ["cat", "dog"]
    assert summary["steps"] == 3
    assert (summary["recipe"]["seed"], summary["recipe"]["batch_size"]) == (5, 8)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dataset=./nowhere"], "Expected a folder that exists. Received: './nowhere'."),
        (["--recipe=digit"], "Received: 'digit'. Nearest: 'digits'."),
    ],
)
def test_a_mistake_is_one_line(photos, tmp_path, flags, message):
    result = run(f"--dataset={photos}", f"--output_dir={tmp_path}", *flags)
    assert result.returncode == 1
    assert "Error: Expected" in result.stderr and message in result.stderr
    assert "Traceback" not in result.stderr
