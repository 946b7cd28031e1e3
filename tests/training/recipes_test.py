"""Recipes are data: checked, printed, read back, and changed from a command line."""

import dataclasses
import json

import pytest

from keras_vit.data.augment import Augmentation
from keras_vit.training.recipes import RECIPES, Recipe, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_goes_through_json(name):
    recipe = get_recipe(name)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_digits_are_never_mirrored():
    assert not RECIPES["digits"].augmentation.horizontal_flip


def test_the_papers_numbers_are_pinned():
    finetune, pretrain = RECIPES["paper_finetune"], RECIPES["paper_pretrain"]
    assert (finetune.optimizer, finetune.beta_1, finetune.batch_size) == ("sgd", 0.9, 512)
    assert (finetune.steps, finetune.weight_decay, finetune.clip_norm) == (20_000, 0.0, 1.0)
    assert finetune.warmup_steps(20_000) == 500
    assert (pretrain.epochs, pretrain.batch_size, pretrain.learning_rate) == (300, 4096, 3e-3)
    assert (pretrain.weight_decay, pretrain.dropout_rate) == (0.3, 0.1)
    assert pretrain.warmup_steps(pretrain.total_steps(1_281_167)) == 10_000


def test_steps_follow_from_epochs_and_full_batches():
    recipe = Recipe(epochs=3, batch_size=10, warmup=0.1)
    assert recipe.total_steps(109) == 30
    assert recipe.warmup_steps(30) == 3
    assert recipe.total_steps(4) == 3  # one batch of all four
    assert recipe.batch_of(4) == 4
    assert Recipe(steps=7).total_steps(1000) == 7


def test_settings_change_fields_by_their_type():
    changed = RECIPES["digits"].with_settings(
        ["learning_rate=3e-4", "batch_size=8", "clip_norm=none", "optimizer=sgd", "steps=5",
         "augmentation.rotation=5", "augmentation.horizontal_flip=true"]
    )  # fmt: skip
    assert (changed.learning_rate, changed.batch_size, changed.clip_norm) == (3e-4, 8, None)
    assert (changed.optimizer, changed.steps, changed.epochs) == ("sgd", 5, None)
    assert changed.augmentation == dataclasses.replace(
        RECIPES["digits"].augmentation, rotation=5.0, horizontal_flip=True
    )
    assert RECIPES["digits"].with_settings([]) == RECIPES["digits"]


@pytest.mark.parametrize(
    "setting, message",
    [
        ("learning_rte=1", "'learning_rte'. Nearest: 'learning_rate'"),
        ("batch_size=many", "batch_size=<int>.*'many'"),
        ("batch_size=none", "batch_size=<int>"),
        ("augmentation.turn=5", "'turn'"),
        ("augmentation.horizontal_flip=perhaps", "horizontal_flip=<bool>"),
        ("augmentation=none", "'augmentation'"),
        ("other.rotation=1", "'other.rotation'"),
        ("epochs", "field=value"),
    ],
)
def test_a_wrong_setting_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        RECIPES["digits"].with_settings([setting])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "one of `epochs` and `steps`"),
        ({"epochs": 1, "steps": 1}, "one of `epochs` and `steps`"),
        ({"epochs": 0}, "`epochs`"),
        ({"epochs": 1, "batch_size": 0}, "`batch_size`"),
        ({"epochs": 1, "learning_rate": 0.0}, "`learning_rate`"),
        ({"epochs": 1, "optimizer": "lion"}, "'lion'"),
        ({"epochs": 1, "label_smoothing": 1.0}, "`label_smoothing`"),
        ({"epochs": 1, "weight_decay": -1.0}, "`weight_decay`"),
        ({"epochs": 1, "seed": -1}, "`seed`"),
    ],
)
def test_an_impossible_recipe_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**arguments)


def test_an_unknown_recipe_comes_with_the_nearest():
    with pytest.raises(ValueError, match="Received: 'digit'. Nearest: 'digits'"):
        get_recipe("digit")


def test_a_recipe_holds_only_what_it_uses():
    assert Recipe(epochs=1).augmentation == Augmentation()
