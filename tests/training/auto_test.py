"""The recipe that follows from data and model."""

import dataclasses

import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import auto_recipe

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return VisionTransformer(TINY)


def _data(image_sets, images, names):
    data = image_sets.data_in_memory(train=4)
    train = dataclasses.replace(data.train, num_examples=images)
    return dataclasses.replace(data, train=train, class_names=names)


@pytest.mark.parametrize(
    "images, epochs, batch", [(20, 60, 16), (100, 24, 16), (400, 6, 16), (90_000, 4, 32)]
)
def test_length_and_batch_follow_from_the_number_of_images(
    image_sets, model, images, epochs, batch
):
    recipe = auto_recipe(_data(image_sets, images, ("cat", "dog")), model).recipe
    assert (recipe.epochs, recipe.batch_size) == (epochs, batch)
    assert recipe.probe_first == (images < 20_000)
    assert (recipe.optimizer, recipe.layer_decay) == ("adamw", 0.75)


@pytest.mark.parametrize(
    "width, rate", [(8, 1e-3), (96, 8e-4), (384, 2e-4), (768, 1e-4), (1280, 6e-5)]
)
def test_wider_models_learn_more_slowly(image_sets, model, width, rate, monkeypatch):
    monkeypatch.setattr(model, "config", TINY.replace(hidden_size=width))
    assert auto_recipe(_data(image_sets, 50, ("cat", "dog")), model).recipe.learning_rate == rate


@pytest.mark.parametrize(
    "names, mirrors",
    [(("cat", "dog"), True), (("7", "8"), False), (("turn_left", "turn_right"), False),
     (("bright", "dim"), True)],
)  # fmt: skip
def test_marks_are_not_mirrored(image_sets, model, names, mirrors):
    choice = auto_recipe(_data(image_sets, 50, names), model)
    assert choice.recipe.augmentation.horizontal_flip == mirrors
    assert ("not mirrored" in choice.describe()) != mirrors


def test_what_has_no_single_linear_head_begins_at_zero(image_sets):
    config = TINY.replace(pooling="token+distillation", distillation_token=True)
    choice = auto_recipe(_data(image_sets, 50, ("cat", "dog")), VisionTransformer(config))
    assert not choice.recipe.probe_first
    assert "no single linear head" in choice.describe()


def test_every_choice_has_a_reason(image_sets, model):
    text = auto_recipe(_data(image_sets, 100, ("cat", "dog")), model).describe()
    for part in ("24 epochs", "for 100 images", "batch 16", "AdamW 0.001", "linear probe"):
        assert part in text


def test_what_a_user_overrules_has_no_reason(image_sets, model):
    choice = auto_recipe(_data(image_sets, 100, ("cat", "dog")), model)
    text = choice.describe(choice.recipe.replace(epochs=3, freeze="embedding"))
    assert "epochs" not in text and "frozen" not in text and "batch 16" in text
