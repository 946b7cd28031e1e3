"""Help and mistakes are answered before Keras is there; a command begins quietly."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from keras_vit.commands import COMMANDS
from keras_vit.version import __version__

ROOT = pathlib.Path(__file__).parents[2]
# As `keras-vit` does: in a process of its own, the entry before the package.
PROGRAM = f"""
import json, runpy, sys
import keras_vit_command
run = runpy.run_path({str(pathlib.Path(__file__).with_name("conftest.py"))!r})["_run"]
results = [vars(run(*arguments)) for arguments in json.loads(sys.argv[1])]
print(json.dumps([results, [name for name in ("keras", "tensorflow") if name in sys.modules]]))
"""
MISTAKES = {
    ("trian",): "unknown command 'trian'. Nearest: 'train'",
    ("train", "--output_dirs=x"): "unknown flag --output_dirs. Nearest: '--output_dir'",
    ("train",): "Expected --output_dir. Received: nothing. See keras-vit train --help.",
    ("train", "--seed=a"): "Expected a number for --seed. Received: 'a'.",
    ("train", "--output_dir=x", "y"): "Expected flags alone. Received: y.",
    ("train", "--output_dir=x", "--recipe=digit"): "Received: 'digit'. Nearest: 'digits'",
    ("train", "--output_dir=x", "--set=epoch=3"): "Received: 'epoch'. Nearest: 'epochs'.",
    ("train", "--output_dir=x", "--dataset=cifar11"): "Received: 'cifar11'. Nearest: 'cifar10",
    ("train", "--output_dir=x", "--dataset=./no"): "a folder that exists. Received: './no'.",
    ("train", "--output_dir=x", "--model=ViT_B_16"): "'ViT_B_16'. Nearest: 'ViT_B16'",
    ("train", "--output_dir=x", "--model=no.npz"): "Received: 'no.npz', which is not there.",
    ("train", "--output_dir=x", "--model=ViT_B16", "--weights=imagnet"): "Nearest: 'imagenet'",
    ("evaluate", "--model=READ.md"): "'READ.md', which is not there. Nearest: 'README.md'",
    (
        "export",
        "--model=README.md",
        "--output_dir=x",
        "--format=onx",
    ): "'saved_model', 'litert', 'onnx'",
    ("predict", "--model=README.md"): "Expected image files, patterns or folders. Received: none.",
    ("weights", "--model=vit_b"): "Received: 'vit_b'. Nearest: 'ViT_B",
    ("benchmark", "--model=ViT_B_16"): "Received: 'ViT_B_16'. Nearest: 'ViT_B16'",
}


def process(*command, **environment):
    inherited = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def answers():
    """What each mistake and each `--help` is answered, by the arguments."""
    asked = [*MISTAKES, *((name, "--help") for name in COMMANDS)]
    results, loaded = json.loads(process("-c", PROGRAM, json.dumps(asked)).stdout)
    assert loaded == []
    return dict(zip(asked, results, strict=True))


@pytest.mark.parametrize("mistake", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line(answers, mistake):
    answer = answers[mistake]
    assert answer["returncode"] == 1 and answer["stdout"] == ""
    (line,) = answer["stderr"].splitlines()
    assert line.startswith("Error: ") and MISTAKES[mistake] in line


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_every_flag(answers, name):
    answer = answers[name, "--help"]
    assert answer["returncode"] == 0 and answer["stderr"] == ""
    lines = answer["stdout"].splitlines()
    assert lines[0] == f"usage: keras-vit {name} [FLAGS]"
    assert any(line.startswith(f"  keras-vit {name}") for line in lines)
    shown = [line for line in lines if line.startswith("  --")]
    module = ROOT / "keras_vit" / "commands" / f"{name}.py"
    if name in ("benchmark", "compare"):
        module = ROOT / "benchmarks" / {"benchmark": "studies.py"}.get(name, f"{name}.py")
    assert len(shown) >= module.read_text().count("flags.DEFINE_") > 0
    assert all(len(line) <= 100 for line in lines)


def test_sections_stand_above_their_flags(answers):
    lines = answers["train", "--help"]["stdout"].splitlines()
    places = [lines.index(line) for line in ("Data:", "Model:", "Training:", "Output:")]
    for flag, (first, last) in zip(
        ("--dataset=digits", "--model=...", "--seed=NUMBER"),
        zip(places, places[1:], strict=False),
        strict=True,
    ):
        assert any(line.startswith(f"  {flag}") for line in lines[first:last]), flag


def test_the_commands_and_the_version_are_told():
    assert process("-m", "keras_vit_command", "--version").stdout == f"keras-vit {__version__}\n"
    overview = process("-m", "keras_vit_command").stdout
    assert all(f"  {name}  " in overview for name in COMMANDS)


@pytest.mark.slow
def test_commands_run_quietly_where_keras_is_not_loaded_yet(image_sets, tiny_model, tmp_path):
    photos = image_sets.write_folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    model = f"--model={tmp_path}/run/model.keras"
    asked = [
        ("train", f"--dataset={photos}", f"--model={tiny_model}", "--recipe=digits",
         "--set=steps=2", "--set=batch_size=8", f"--output_dir={tmp_path}/run"),
        ("evaluate", model, f"--dataset={photos}", "--probes=knn", "--k=1"),
        ("visualize", model, f"--images={photos}", "--count=2", f"--output_dir={tmp_path}/looks"),
        ("export", model, f"--output_dir={tmp_path}/served"),
        ("predict", f"--model={tmp_path}/served", str(photos / "cat"), "--top_k=1"),
    ]  # fmt: skip
    done = process("-c", PROGRAM, json.dumps(asked))
    results, loaded = json.loads(done.stdout)
    assert loaded == ["keras", "tensorflow"] and done.stderr == ""
    for arguments, result in zip(asked, results, strict=True):
        assert result["returncode"] == 0, (arguments, result["stderr"])
        assert "cuInit" not in result["stderr"] and "oneDNN" not in result["stderr"]
