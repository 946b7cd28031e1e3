"""Each model gets what the budget pays for, and nothing is trained twice."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from benchmarks import equal_compute
from benchmarks.candidates import Candidate
from keras_vit.evaluation import score
from keras_vit.images.spec import Preprocessing
from keras_vit.training import Recipe

RECIPE = Recipe(steps=40, batch_size=6, learning_rate=1e-2)


def candidate(name, width, recipe=RECIPE):
    """A linear model with a hidden layer; its cost grows with `width`."""

    def build(recipe):
        keras.utils.set_random_seed(recipe.seed)
        images = keras.Input((8, 8, 1))
        hidden = keras.layers.Dense(width)(keras.layers.Flatten()(images))
        model = keras.Model(images, keras.layers.Dense(2)(hidden), name=name)
        model.preprocessing = Preprocessing(size=8, mean=(0.5,), std=(0.5,))
        return model

    return Candidate(name, recipe, build, {"spec": name, "width": width})


SMALL, LARGE = candidate("small", 4), candidate("large", 40)
FLOPS = {"small": 2 * (64 * 4 + 4 * 2), "large": 2 * (64 * 40 + 40 * 2)}


@pytest.fixture
def trained(monkeypatch):
    """Trains nothing; lists what should have been, and leaves files as training does."""
    runs = []

    def train(recipe, model, data, *, output_dir, **_):
        assert list(data.splits) == ["train"]  # nothing held out is looked at on the way
        runs.append((model.name, recipe.steps, recipe.seed))
        (output_dir / "checkpoints").mkdir(parents=True)
        for name in ("model.keras", "curves.png", "checkpoints/step_1.safetensors"):
            (output_dir / name).write_text("")
        result = type("Result", (), {})()
        result.summary = {"seconds": 1.5, "training_accuracy": 0.75}
        return result

    def evaluate(model, split, class_names):
        return score(np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 1, 1]), class_names)

    monkeypatch.setattr(equal_compute, "train", train)
    monkeypatch.setattr(equal_compute.gc, "collect", lambda: 0)  # nothing is held here
    monkeypatch.setattr(equal_compute, "evaluate", evaluate)
    return runs


def test_every_model_spends_the_same_at_every_share(image_sets, tmp_path, trained):
    data = image_sets.data_in_memory(train=24)
    runs = equal_compute.compare([SMALL, LARGE], data, output_dir=tmp_path, shares=[1.0, 0.5])
    # The first model's 40 steps are the budget; the other is ten times as dear.
    assert trained == [
        (name, steps, seed)
        for name, steps in (("small", 20), ("large", 2), ("small", 40), ("large", 4))
        for seed in (0, 1)
    ]
    for run in runs:
        assert run["flops_an_image"] == FLOPS[run["model"]]
        assert run["flops"] == run["steps"] * 3 * 6 * FLOPS[run["model"]]
        assert run["accuracy"] == 0.75
        assert (run["split"], run["seconds"]) == ("test", 1.5)
    assert {run["flops"] for run in runs if run["share"] == 1} == {40 * 3 * 6 * FLOPS["small"]}


def test_a_budget_in_operations_goes_before_the_recipe(image_sets, tmp_path, trained):
    data = image_sets.data_in_memory(train=24)
    budget = 7.5 * 3 * 6 * FLOPS["large"]
    equal_compute.compare(
        [SMALL, LARGE], data, output_dir=tmp_path, budget=budget, shares=[1.0], seeds=[3]
    )
    assert trained == [("small", 75, 3), ("large", 7, 3)]


def test_what_is_finished_is_not_run_again(image_sets, tmp_path, trained):
    data = image_sets.data_in_memory(train=24)
    first = equal_compute.compare([SMALL], data, output_dir=tmp_path, shares=[1.0], seeds=[0])
    lines = []
    more = equal_compute.compare(
        [SMALL], data, output_dir=tmp_path, shares=[1.0], seeds=[0, 1], report=lines.append
    )
    assert trained == [("small", 40, 0), ("small", 40, 1)]
    assert more[0] == first[0]
    assert "as found in" in lines[0] and lines[1] == "small, 40 steps, seed 1: training"
    # Another recipe, data set or model is another run.
    slower = candidate("small", 4, RECIPE.replace(learning_rate=1e-3))
    equal_compute.compare([slower], data, output_dir=tmp_path, shares=[1.0], seeds=[0])
    other = dataclasses.replace(data, name="other")
    equal_compute.compare([SMALL], other, output_dir=tmp_path, shares=[1.0], seeds=[0])
    equal_compute.compare(
        [candidate("small", 5)], data, output_dir=tmp_path, shares=[1.0], seeds=[0]
    )
    assert len(trained) == 5


def test_weights_go_and_records_stay(image_sets, tmp_path, trained):
    data = image_sets.data_in_memory(train=24)
    equal_compute.compare([SMALL], data, output_dir=tmp_path, shares=[1.0], seeds=[0])
    (folder,) = (tmp_path / "runs").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "result.json"]
    assert json.loads((folder / "result.json").read_text())["fingerprint"]["model"] == SMALL.origin
    kept = tmp_path / "kept"
    equal_compute.compare([SMALL], data, output_dir=kept, shares=[1.0], seeds=[0], keep_models=True)
    assert len(list(kept.glob("runs/*/model.keras"))) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": [SMALL, SMALL]}, "different names"),
        ({"candidates": []}, "different names"),
        ({"shares": [0.5, 2.0]}, "shares of the budget"),
        ({"seeds": []}, "at least one seed"),
        ({"budget": 1.0}, "one step of small"),
        (
            {
                "candidates": [SMALL, candidate("late", 40, RECIPE.replace(warmup=5))],
                "shares": [0.5, 1.0],
            },
            "warm-up of at most the 2 steps that 50 % of the budget pays for with late",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_training(
    image_sets, tmp_path, trained, changes, message
):
    arguments = {"candidates": [SMALL], "shares": [1.0], "seeds": [0], **changes}
    with pytest.raises(ValueError, match=message):
        equal_compute.compare(
            arguments.pop("candidates"),
            image_sets.data_in_memory(train=24),
            output_dir=tmp_path,
            **arguments,
        )
    assert not trained


def test_a_split_to_measure_on_is_asked_for(image_sets, tmp_path):
    data = dataclasses.replace(image_sets.data_in_memory(train=24), test=None)
    with pytest.raises(ValueError, match="test or validation"):
        equal_compute.compare([SMALL], data, output_dir=tmp_path)


@pytest.mark.slow
def test_easy_images_are_learned_and_the_seed_makes_the_run(image_sets, tmp_path):
    data = image_sets.data_in_memory(train=24)
    quick = candidate("quick", 4, RECIPE.replace(steps=12, learning_rate=0.03))
    arguments = {"shares": [1.0], "seeds": [0]}
    (run,) = equal_compute.compare([quick], data, output_dir=tmp_path / "one", **arguments)
    assert run["accuracy"] == 1.0
    assert run["seconds"] > 0
    (again,) = equal_compute.compare([quick], data, output_dir=tmp_path / "two", **arguments)
    assert again["loss"] == pytest.approx(run["loss"], rel=1e-5)
