"""What the README shows, runs; what it tables, is so."""

import json
import pathlib
import re
import runpy
import shlex

import numpy as np
import pytest

import keras_vit
from keras_vit.weights.published import CHECKPOINTS

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"(keras-vit (?:train|visualize) --[^`]*)`", README)


@pytest.mark.slow
def test_the_examples_run_in_their_order(reader):
    assert len(PYTHON) == 4
    for example in PYTHON:
        names = {}
        exec(compile(example, "README.md", "exec"), names)
        if "relevance" in names:
            assert names["relevance"].shape == (1, 24, 24)
            assert names["distance"].shape == (reader.config.num_layers, reader.config.num_heads)
            assert names["vector"].shape == (1, reader.config.hidden_size)
    assert (reader.folder / "served" / "photos" / "1" / "saved_model.pb").exists()

    # The commands continue with what the examples have left.
    run = runpy.run_path(str(ROOT / "tests" / "commands" / "conftest.py"))["_run"]
    assert len(COMMANDS) == 2
    for line in COMMANDS:
        arguments = shlex.split(line.replace("\\\n", " "))[1:]
        if arguments[0] == "train":  # as written, but for three steps
            arguments += ["--set", "steps=3", "--set", "batch_size=4"]
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
    assert (reader.folder / "outputs" / "photos" / "model.keras").exists()
    assert (reader.folder / "outputs" / "looks" / "report.html").exists()


def test_it_is_short_and_names_every_model():
    assert len(README.splitlines()) <= 150
    table = README.split("## Models and weights")[1].split("\n\n## ")[0]
    assert sorted(re.findall(r"`(\w+_\w+\d\w*)`", table)) == sorted(keras_vit.list_models())
    counts = re.findall(r"\| (\d+) \|$", table, re.MULTILINE)
    assert sum(map(int, counts)) == len(CHECKPOINTS)


def test_the_table_of_agreement_counts_the_golden_models():
    for page in (README, (ROOT / "docs" / "exactness.md").read_text(encoding="utf-8")):
        rows = re.findall(r"\((?:JAX|PyTorch)\) \| (\d+) \||(?:JAX|PyTorch) \| (\d+) \|", page)
        counts = [int(one or other) for one, other in rows]
        golden = ROOT / "tests" / "fixtures" / "golden"
        folders = ("google", "big_vision", "timm", "hf")
        assert counts == [len(list((golden / name).glob("*/case.json"))) for name in folders]


def test_the_table_of_speed_is_that_of_the_suite():
    suite = (ROOT / "benchmarks" / "suite_cpu.json").read_text(encoding="utf-8")
    races = json.loads(suite)["races"]
    table = README.split("## Speed beside peers")[1].split("\n## ")[0]
    for line in re.findall(r"^\| ((?:inference|training), .*) \|$", table, re.MULTILINE):
        work, ours, openvino, hub, timm, best = [cell.strip() for cell in line.split("|")]
        seconds = f"{work.split(',')[0][:5]}_s"  # infer_s, train_s
        measured = {
            row["subject"]: races[work.replace(",", "")]["batch_size"] / np.median(row[seconds])
            for row in races[work.replace(",", "")]["subjects"]
            if row[seconds]
        }
        number, runtime = re.fullmatch(r"([\d.]+) \((\w+)\)", best).groups()
        best_name = {"eager": "timm", "compiled": "timm_compiled", "OpenVINO": "timm_openvino"}
        shown = {
            "keras_vit": ours,
            "keras_vit openvino": openvino,
            "keras_hub": hub,
            "timm": timm,
            best_name[runtime]: number,
        }
        for subject, text in shown.items():
            assert text == (f"{measured[subject]:.2f}" if subject in measured else ""), subject
        peers = {name: value for name, value in measured.items() if name.startswith("timm")}
        assert max(peers, key=peers.get) == best_name[runtime]


PAGES = ["README.md", "CONTRIBUTING.md"]
PAGES += [path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")]


@pytest.mark.parametrize("page", [page for page in PAGES if "_build" not in page])
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8")):
        assert target.startswith("http") or ((ROOT / page).parent / target).exists(), target
