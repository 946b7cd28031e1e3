"""What is trained are the logits of a model that fits the data."""

import keras
import numpy as np
import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training.recipes import Recipe
from keras_vit.training.trainer import check_model, compile_trainer

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=2, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip


def _model(seed=0, **fields):
    keras.utils.set_random_seed(seed)
    return VisionTransformer(TINY.replace(**fields))


def test_a_sure_mistake_still_teaches():
    """The loss is taken from logits: a probability of zero would have no gradient."""
    model = _model()
    head = model.get_layer("head")
    head.set_weights([np.zeros((8, 2)), np.array([200.0, -200.0])])
    trainer = compile_trainer(Recipe(steps=1, warmup=0, decay="constant"), model, 1)
    loss = trainer.train_on_batch(np.zeros((1, 8, 8, 1), "float32"), np.array([[0.0, 1.0]]))[0]
    assert loss == pytest.approx(400, rel=1e-5)
    assert head.get_weights()[1][1] > -200


def test_a_model_without_logits_is_trained_by_its_output(image_sets):
    images = keras.Input((8, 8, 1))
    network = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    model = keras.Model(images, network)
    with pytest.raises(ValueError, match="`preprocessing`.*Received: Functional"):
        check_model(Recipe(steps=1), model, image_sets.data_in_memory())
    model.preprocessing = _model().preprocessing
    check_model(Recipe(steps=1, dropout_rate=0.5), model, image_sets.data_in_memory())
    trainer = compile_trainer(Recipe(steps=1), model, 1)
    pixels = np.ones((3, 8, 8, 1), "float32")
    np.testing.assert_array_equal(trainer(pixels), model(pixels))
    assert trainer.trainable_variables == model.trainable_variables


def test_a_model_without_logits_for_other_classes_is_refused(image_sets):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.preprocessing = _model().preprocessing
    with pytest.raises(ValueError, match="2 classes.*Received: num_classes=64"):
        check_model(Recipe(steps=1), model, image_sets.data_in_memory())
