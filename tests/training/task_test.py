"""What is trained are the logits of a model that fits the data, with parts that may stay."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training.objectives import Classification
from keras_vit.training.recipes import Recipe
from keras_vit.training.task import Task

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=2, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip


def _model(seed=0, **fields):
    keras.utils.set_random_seed(seed)
    return VisionTransformer(TINY.replace(**fields))


def _task(recipe, model, data=None):
    return Task(recipe, model, data, Classification())


def test_a_sure_mistake_still_teaches():
    """The loss is taken from logits: a probability of zero would have no gradient."""
    model = _model()
    head = model.get_layer("head")
    head.set_weights([np.zeros((8, 2)), np.array([200.0, -200.0])])
    trainer = _task(Recipe(steps=1, warmup=0, decay="constant"), model).compile(1)
    loss = trainer.train_on_batch(np.zeros((1, 8, 8, 1), "float32"), np.array([[0.0, 1.0]]))[0]
    assert loss == pytest.approx(400, rel=1e-5)
    assert head.get_weights()[1][1] > -200


def test_a_model_without_logits_is_trained_by_its_output(image_sets):
    images = keras.Input((8, 8, 1))
    network = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    model = keras.Model(images, network)
    with pytest.raises(ValueError, match="`preprocessing`.*Received: Functional"):
        _task(Recipe(steps=1), model, image_sets.data_in_memory()).check()
    model.preprocessing = _model().preprocessing
    _task(Recipe(steps=1, dropout_rate=0.5), model, image_sets.data_in_memory()).check()
    trainer = _task(Recipe(steps=1), model).compile(1)
    pixels = np.ones((3, 8, 8, 1), "float32")
    np.testing.assert_array_equal(trainer(pixels), model(pixels))
    assert trainer.trainable_variables == model.trainable_variables


def test_a_model_of_another_type_than_the_recipe_is_refused(image_sets):
    recipe = Recipe(steps=1, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="built with dtype=mixed_bfloat16.*dtype=float32"):
        _task(recipe, _model(), image_sets.data_in_memory()).check()


def test_a_model_without_logits_for_other_classes_is_refused(image_sets):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.preprocessing = _model().preprocessing
    with pytest.raises(ValueError, match="2 classes.*Received: num_classes=64"):
        _task(Recipe(steps=1), model, image_sets.data_in_memory()).check()


@pytest.mark.parametrize(
    "freeze, trained",
    [
        ("backbone", {"head"}),
        ("embedding", {"encoder_block_0", "encoder_block_1", "encoder_norm", "head"}),
        ("blocks:0", {"encoder_block_1", "encoder_norm", "head"}),
        ("blocks:0-1", {"encoder_norm", "head"}),
        ("blocks:1", {"patch_encoder", "encoder_block_0", "encoder_norm", "head"}),
    ],
)
def test_parts_stay_as_they_are(freeze, trained):
    model = _model()
    network = _task(Recipe(steps=1, freeze=freeze, layer_decay=0.5), model).compile(1)
    found = {layer.name for layer in network.layers if layer.trainable_variables}
    assert found == trained


def test_identity_is_plain_and_the_same_for_the_same(image_sets):
    data, recipe = image_sets.data_in_memory(), Recipe(steps=3)
    found = _task(recipe, _network(), data).identity()
    assert found == json.loads(json.dumps(found))
    assert found == _task(recipe, _network(), data).identity()
    assert found["model"]["config"] is None
    assert found["objective"] == {"name": "Classification"}


def _network(**arguments):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], **arguments)
    model.preprocessing = Preprocessing(size=4)
    return model


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": Recipe(steps=4)},
        {"model": _network(name="other")},
        {"data": {"train": 30}},
        {"data": {"classes": 3}},
    ],
)
def test_identity_tells_apart(image_sets, change):
    usual = {"recipe": Recipe(steps=3), "model": _network(), "data": {}}
    one, other = (
        _task(run["recipe"], run["model"], image_sets.data_in_memory(**run["data"])).identity()
        for run in (usual, {**usual, **change})
    )
    assert one != other


def test_a_folder_of_photos_may_have_moved(image_sets):
    data = image_sets.data_in_memory()
    one, other, third = (
        _task(Recipe(steps=3), _network(), dataclasses.replace(data, name=name)).identity()
        for name in ("/home/me/photos", "photos/", "pictures")
    )
    assert one == other != third
