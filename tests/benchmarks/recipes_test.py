"""The search for a recipe: what it keeps, and what its tables say of it."""

import pathlib

import numpy as np
import pytest

from benchmarks.recipes import accuracy_of_best
from benchmarks.recipes_report import WAYS, read, table
from benchmarks.small_sets import with_folder

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks").glob("recipes_*.json"))


def test_the_best_epoch_is_chosen_by_a_few_images_and_measured_on_the_others():
    right = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]], bool)  # epochs by images
    # Images 0 and 1 choose the first epoch, the other two pairs the second one.
    assert accuracy_of_best(right, 2) == pytest.approx((0 + 1 / 2 + 1 / 2) / 3)


def test_a_way_is_compared_with_the_probe_of_its_set_and_seed():
    row = {"model": "small", "set": "faces"}
    rows = [
        {**row, "way": way, "seed": seed, "accuracy": accuracy}
        for way, accuracies in {"probe": (0.5, 0.7), "lpft": (0.6, 0.82)}.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    text = table([*rows, {**row, "way": "sgd", "seed": 7, "accuracy": 0.9}])
    assert "| linear probe | 60.0 ± 14.1 |  |" in text
    assert "71.0 ± 15.6 | +11.0 ± 1.0 (2) |" in text
    assert "| 90.0 |  |" in text  # there is no probe of this seed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rows_name_one_model_and_what_there_is(path):
    rows = read(path)
    assert len({(row["model"], row["set"], row["way"], row["seed"]) for row in rows}) == len(rows)
    assert len({row["model"] for row in rows}) == 1
    assert {row["way"] for row in rows} <= WAYS.keys()
    assert {row["set"] for row in rows} <= with_folder("").keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_documentation_has_the_table_of_the_file(path):
    assert table(read(path)) in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
