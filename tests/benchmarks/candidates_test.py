"""What training costs, and how many steps a budget pays for."""

import dataclasses

import keras
import pytest

from benchmarks import candidates
from benchmarks.candidates import Cost
from keras_vit.images.spec import Preprocessing
from keras_vit.models.cost import forward_flops
from keras_vit.training import get_recipe
from keras_vit.training.models import SMALL_MODELS


def test_a_step_costs_three_forward_passes_for_each_image():
    assert Cost(parameters=1, flops_an_image=1000, batch_size=8).flops_a_step == 24_000


def test_a_budget_pays_for_whole_steps():
    cost = Cost(parameters=1, flops_an_image=1000, batch_size=8)
    assert candidates.affordable_steps(24_000, cost) == 1
    assert candidates.affordable_steps(71_999, cost) == 2
    assert candidates.affordable_steps(72_000, cost) == 3
    with pytest.raises(ValueError, match="at least 24.0 GFLOP, one step of ResNet. Received: 23"):
        large = Cost(parameters=1, flops_an_image=10**9, batch_size=8)
        candidates.affordable_steps(23e9, large, "ResNet")


def test_our_model_is_counted_as_its_config_says(image_sets):
    data = image_sets.data_in_memory(train=24, classes=3)
    recipe = get_recipe("digits")
    ours = candidates.our_candidate("digits", data, recipe, image_size=16)
    cost = candidates.count_cost(ours, data)
    config = SMALL_MODELS["digits"].replace(image_size=16, num_classes=3)
    assert cost.flops_an_image == forward_flops(config)
    assert cost.batch_size == 24  # the recipe's 32 are not there
    assert cost.parameters == ours.build(recipe).count_params()
    sharp = dataclasses.replace(ours, recipe=recipe.replace(sharpness_radius=0.1))
    assert candidates.count_cost(sharp, data).flops_a_step == 2 * cost.flops_a_step
    # 120 epochs of one step.
    assert candidates.budget_of(ours, cost, data) == 120 * 3 * 24 * cost.flops_an_image
    assert (ours.name, ours.origin["spec"]) == ("digits", "digits")


def test_a_baseline_learns_from_the_same_images_without_our_dropout(image_sets):
    data = image_sets.data_in_memory(classes=3)
    recipe = get_recipe("digits").replace(layer_decay=0.8, freeze="embedding")
    assert recipe.drop_path_rate
    own = Preprocessing(size=16, resampling="bicubic", mean=(0.5,), std=(0.5,))
    baseline = candidates.baseline_candidate(
        "MobileNet:alpha=0.25", data, recipe, preprocessing=own
    )
    assert baseline.recipe == recipe.replace(drop_path_rate=None, layer_decay=None, freeze=None)
    model = baseline.build(baseline.recipe)
    assert model.preprocessing == Preprocessing(size=32, resampling="bicubic")  # 16 is too small
    assert model.output_shape == (None, 3)
    larger = candidates.baseline_candidate("MobileNet:alpha=0.25", data, recipe, image_size=40)
    assert larger.build(larger.recipe).input_shape == (None, 40, 40, 3)
    assert larger.origin != baseline.origin


def test_a_checkpoint_is_called_by_its_file(image_sets):
    data = image_sets.data_in_memory()
    ours = candidates.our_candidate("runs/a/model.keras", data, get_recipe("digits"))
    assert ours.name == "model"
    assert isinstance(ours, candidates.Candidate) and not isinstance(ours, keras.Model)
