"""Recipes are data: checked, printed, read back, and changed from a command line."""

import dataclasses
import json

import pytest

from keras_vit.data.augmentation import Augmentation
from keras_vit.training.recipe_table import RECIPES, get_recipe
from keras_vit.training.recipes import Recipe


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


def test_the_numbers_of_the_later_papers_are_pinned():
    augreg, deit = RECIPES["augreg_finetune"], RECIPES["deit"]
    assert (augreg.steps, augreg.learning_rate, augreg.warmup, augreg.image_size) == (
        500, 0.03, 100, 384,
    )  # fmt: skip
    assert (deit.epochs, deit.batch_size, deit.learning_rate) == (300, 1024, 1e-3)
    assert (deit.weight_decay, deit.drop_path_rate, deit.label_smoothing) == (0.05, 0.1, 0.1)
    assert deit.clip_norm is None
    assert deit.warmup_steps(deit.total_steps(1_281_167)) == 5 * (1_281_167 // 1024)
    assert deit.augmentation == Augmentation(
        crop_min_area=0.08, horizontal_flip=True, rand_augment_ops=2, rand_augment_magnitude=9.0,
        rand_augment_magnitude_std=0.5, rand_augment_probability=0.5, random_erasing=0.25,
        mixup_alpha=0.8, cutmix_alpha=1.0, repeats=3,
    )  # fmt: skip
    deit3, after = RECIPES["deit3"], RECIPES["deit3_finetune"]
    assert (deit3.optimizer, deit3.loss, deit3.learning_rate) == ("lamb", "sigmoid", 3e-3)
    assert (deit3.batch_size, deit3.weight_decay, deit3.image_size) == (2048, 0.05, 192)
    assert (deit3.augmentation.three_augment, deit3.augmentation.color_jitter) == (True, 0.3)
    assert (after.learning_rate, after.weight_decay, after.epochs) == (1e-5, 0.1, 20)


def test_every_recipe_has_a_smoke_size_of_the_same_method():
    for name, recipe in RECIPES.items():
        if name.endswith("_smoke"):
            continue
        smoke = RECIPES[f"{name}_smoke"]
        assert smoke.total_steps(1000) * smoke.batch_size < 100
        for field in ("optimizer", "loss", "weight_decay", "augmentation", "learning_rate"):
            assert getattr(smoke, field) == getattr(recipe, field)


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
        ({"epochs": 1, "lora_rank": 0}, "`lora_rank`"),
        ({"epochs": 1, "lora_alpha": 2.0}, "`lora_rank` with"),
        ({"epochs": 1, "lora_rank": 2, "freeze": "backbone"}, "either `freeze` or `lora_rank`"),
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


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"optimizer": "adam"}, "'lamb'"),
        ({"loss": "hinge"}, "'sigmoid'"),
        ({"layer_decay": 0.0}, r"layer_decay.*\(0, 1\]"),
        ({"accumulation_steps": 0}, "accumulation_steps.*at least 1"),
        ({"freeze": "blocks:a"}, "freeze.*blocks:0-8.*Received: 'blocks:a'"),
        ({"keep": "first"}, "keep.*'first'"),
        ({"dtype": "half"}, "dtype.*'auto'.*Received: dtype='half'"),
        ({"sharpness_radius": -0.1}, "sharpness_radius"),
        ({"learning_rate": 1e-3, "end_learning_rate": 1e-2}, "end_learning_rate"),
    ],
)
def test_fields_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Recipe(steps=1, **fields)
