"""The quick start: how long it will take, its steps, and what it says at the end."""

import json
import tempfile

import pytest

from keras_vit.commands import quickstart
from keras_vit.training.recipe_table import get_recipe


def test_the_settings_are_those_of_the_recipe(tmp_path):
    train = quickstart.steps(tmp_path, seed=3)["train"]
    settings = [text.removeprefix("--set=") for text in train if text.startswith("--set=")]
    assert get_recipe("digits").with_settings(settings).total_steps(1438) == 60 * 22
    assert "--seed=3" in train


def test_the_time_follows_the_work(monkeypatch):
    seconds, work = quickstart._MEASURED[False]
    clock = iter([0.0, 2 * work])
    monkeypatch.setattr(quickstart.time, "perf_counter", lambda: next(clock))
    assert quickstart.estimate() == pytest.approx(2 * seconds)


def test_the_summary_explains_the_calibration_and_misses_nothing(tmp_path):
    evaluation = {
        "split": "test", "top1": 0.99, "calibration_error": 0.04, "images_per_second": 10,
        "baselines": {"3-NN": 0.983},
    }  # fmt: skip
    training = {"images_per_second": 9, "steps": 8, "recipe": {"label_smoothing": 0.05}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    (tmp_path / "summary.json").write_text(json.dumps(training))
    with pytest.raises(RuntimeError, match="Missing: model.keras"):
        quickstart.summary(tmp_path, {})
    for name in ("model.keras", "curves.png", "history.jsonl", "confusion_matrix.png"):
        (tmp_path / name).touch()
    for name in ("tensorboard", "saved_model", "pictures"):
        (tmp_path / name).mkdir()
    for name in ("predictions.png", "report.html"):
        (tmp_path / "pictures" / name).touch()
    text = quickstart.summary(tmp_path, {"train": 12.3, "export": 1.0})
    assert "99.00 %" in text and "98.30 %" in text and "train 12 s" in text
    assert "4.0 %; labels were smoothed by 5 %" in text


def test_steps_side_by_side_are_shown_in_their_order(capfd, tmp_path):
    commands = {"first": ["--help"], "second": ["train", "--help"]}
    seconds = quickstart.run_together(commands, tempfile.TemporaryFile)
    assert list(seconds) == ["first and second"]
    said = capfd.readouterr().out
    places = [said.index(text) for text in ("== first", "usage: ", "== second", "--output_dir")]
    assert places == sorted(places)
    with pytest.raises(RuntimeError, match="'wrong' failed"):
        quickstart.run_together({"wrong": ["train", "--nothing"]}, tempfile.TemporaryFile)


def test_photographs_are_a_story_of_their_own(tmp_path):
    told = quickstart.photo_steps(tmp_path, seed=1)
    assert list(told) == ["train", "evaluate", "look at photographs"]
    settings = [text.removeprefix("--set=") for text in told["train"] if "--set=" in text]
    get_recipe("scratch_small").with_settings(settings)
    assert f"--images={tmp_path}/photographs" in told["look at photographs"]
