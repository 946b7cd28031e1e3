"""`keras-vit train`."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from keras_vit.training import precision

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


COMMAND = [sys.executable, "-m", "keras_vit_command", "train"]


@pytest.fixture(scope="module")
def photos(image_sets, tmp_path_factory):
    """A folder of two classes of easy images."""
    return image_sets.write_folder(tmp_path_factory.mktemp("photos"), {"cat": 10, "dog": 10})


def test_two_replicas_write_the_figures_of_one(run, photos, tiny_model, tmp_path):
    flags = [f"--dataset={photos}", f"--model={tiny_model}", "--recipe=digits",
             "--set=steps=3", "--set=drop_path_rate=0", "--set=image_size=16",
             "--set=accumulation_steps=2", "--set=layer_decay=0.7"]  # fmt: skip
    result = run("train", *flags, f"--output_dir={tmp_path / 'one'}")
    assert result.returncode == 0, result.stderr
    flags += ["--strategy=mirrored", "--replicas=2", f"--output_dir={tmp_path / 'two'}"]
    result = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    one, two = (json.loads((tmp_path / n / "summary.json").read_text()) for n in ("one", "two"))
    for name in ("training_loss", "validation_loss", "validation_accuracy"):
        assert one[name] == pytest.approx(two[name], rel=1e-5)


def test_a_folder_becomes_a_model_and_its_record(run, photos, tmp_path):
    flags = [f"--dataset={photos}", "--model=digits", "--recipe=digits", "--set=steps=3",
             "--set=batch_size=8", "--seed=5", f"--output_dir={tmp_path / 'run'}",
             "--set=dtype=mixed_bfloat16", "--dtype=float32"]  # fmt: skip
    result = run("train", *flags)
    assert result.returncode == 0, result.stderr
    assert "2 classes, images: 16 train, 4 validation" in result.stdout
    assert "On the validation split, accuracy (%)" in result.stdout
    for name in ("model.keras", "summary.json", "history.jsonl", "curves.png"):
        assert str(tmp_path / "run" / name) in result.stdout
        assert (tmp_path / "run" / name).stat().st_size > 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["class_names"] == ["cat", "dog"]
    assert summary["steps"] == 3
    assert (summary["recipe"]["seed"], summary["recipe"]["batch_size"]) == (5, 8)
    assert summary["recipe"]["dtype"] == summary["dtype"] == "float32"


def test_a_signal_saves_and_the_same_command_goes_on(run, photos, tiny_model, tmp_path):
    folder = tmp_path / "run"
    flags = [f"--dataset={photos}", f"--model={tiny_model}", "--recipe=digits",
             "--set=batch_size=8", "--deterministic", f"--output_dir={folder}"]  # fmt: skip
    command = [*COMMAND, *flags, "--set=steps=100000", "--checkpoint_every=2"]
    step = 0
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        while not list(folder.glob("checkpoints/step_*")) or _last_step(folder) == step:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, errors
        assert f"{number.name}: finishing the step and saving." in errors
        assert "Traceback" not in errors
        if step:
            assert f"Going on after step {step:,} of 100,000" in output
        step = int(re.search(r"stopped after step (\d+), saved in .*step_0*\1\.saf", output)[1])
    refused = run("train", *flags, "--set=steps=3")
    assert refused.returncode == 1
    assert "recipe.steps: 100000 in the checkpoint, 3 now" in refused.stderr


def _last_step(folder):
    return max(int(path.stem[5:]) for path in folder.glob("checkpoints/step_*"))


def test_a_finished_run_is_not_trained_again_and_keeps_its_type(run, photos, tmp_path, monkeypatch):
    flags = [f"--dataset={photos}", "--model=digits", "--recipe=digits", "--set=steps=2",
             "--set=batch_size=8", f"--output_dir={tmp_path}", "--keep_checkpoints=1",
             "--set=dtype=auto"]  # fmt: skip
    chosen = (precision.DtypeChoice(dtype, "so") for dtype in ("mixed_bfloat16", "float32"))
    monkeypatch.setattr(precision, "choose_dtype", lambda config: next(chosen))
    assert run("train", *flags).returncode == 0
    first = (tmp_path / "summary.json").read_text()
    summary = json.loads(first)
    assert summary["recipe"]["dtype"] == summary["dtype"] == "mixed_bfloat16"
    again = run("train", *flags)
    assert again.returncode == 0 and "This run is finished" in again.stdout
    assert "On the validation split, accuracy (%)" in again.stdout
    assert (tmp_path / "summary.json").read_text() == first


def test_a_corrupt_file_can_be_left_out(run, photos, tmp_path):
    broken = tmp_path / "photos"
    shutil.copytree(photos, broken)
    (broken / "cat" / "zzz.png").write_bytes(b"no picture")
    flags = [f"--dataset={broken}", "--model=digits", "--recipe=digits", "--set=steps=1",
             "--set=batch_size=8"]  # fmt: skip
    refused = run("train", *flags, f"--output_dir={tmp_path / 'run'}")
    assert refused.returncode == 1 and "leave them out with --skip_corrupt." in refused.stderr
    result = run("train", *flags, f"--output_dir={tmp_path / 'run'}", "--skip_corrupt")
    assert result.returncode == 0, result.stderr
    assert "zzz.png" in result.stderr


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dataset=./nowhere"], "Expected a folder that exists. Received: './nowhere'."),
        (["--dtype=bf16"], "Expected `dtype` to be one of (None, 'float32', 'mixed_bfloat16'"),
        (["--recipe=digit"], "Received: 'digit'. Nearest: 'digits'"),
    ],
)
def test_a_mistake_is_one_line(run, photos, tmp_path, flags, message):
    result = run("train", f"--dataset={photos}", f"--output_dir={tmp_path}", *flags)
    assert result.returncode == 1
    assert "Error: Expected" in result.stderr and message in result.stderr
    assert "Traceback" not in result.stderr
