"""The optimizer does what the recipe says, and leaves alone what must not decay."""

import keras
import numpy as np
import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training.optimizers import averages, make_optimizer
from keras_vit.training.recipes import Recipe

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=2, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip


def _model(seed=0, **fields):
    keras.utils.set_random_seed(seed)
    return VisionTransformer(TINY.replace(**fields))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_decay_shrinks_kernels_by_rate_times_decay_and_nothing_else(optimizer):
    model = _model()
    recipe = Recipe(steps=10, warmup=0, decay="constant", learning_rate=0.1, weight_decay=0.5,
                    optimizer=optimizer, clip_norm=None)  # fmt: skip
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    make_optimizer(recipe, model, 10).apply(
        [keras.ops.zeros_like(variable) for variable in model.trainable_variables],
        model.trainable_variables,
    )
    for variable in model.trainable_variables:
        factor = 1 - 0.1 * 0.5 if variable.path.endswith("kernel") else 1.0
        np.testing.assert_allclose(variable, factor * before[variable.path], rtol=1e-5, atol=1e-9)


def test_the_global_norm_is_clipped():
    model = _model()
    recipe = Recipe(steps=1, warmup=0, optimizer="sgd", beta_1=0.0, learning_rate=1.0,
                    decay="constant", clip_norm=0.5)  # fmt: skip
    before = [variable.numpy() for variable in model.trainable_variables]
    gradients = [keras.ops.ones_like(variable) for variable in model.trainable_variables]
    make_optimizer(recipe, model, 1).apply(gradients, model.trainable_variables)
    moved = [v.numpy() - b for v, b in zip(model.trainable_variables, before, strict=True)]
    assert np.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_each_variable_has_its_moving_average(name):
    model = _model()
    recipe = Recipe(steps=1, warmup=0, optimizer=name, ema_momentum=0.5)
    optimizer = make_optimizer(recipe, model, 1)
    trained = model.trainable_variables
    optimizer.apply([keras.ops.ones_like(variable) for variable in trained], trained)
    pairs = averages(keras.optimizers.LossScaleOptimizer(optimizer))
    assert [variable for variable, _ in pairs] == trained
    for variable, average in pairs:
        np.testing.assert_array_equal(variable.numpy(), average.numpy())
    assert averages(make_optimizer(recipe.replace(ema_momentum=None), model, 1)) == []
