"""A run of adapters: what it trains, what it leaves, and how it goes on."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import train
from keras_vit.training.recipes import Recipe

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=2, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
RECIPE = Recipe(
    steps=6, batch_size=6, learning_rate=0.02, weight_decay=0.01, layer_decay=0.8,
    ema_momentum=0.5, lora_rank=2, lora_targets="qkv,mlp",
)  # fmt: skip
IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype("float32")


def model_of(seed):
    keras.utils.set_random_seed(seed)
    return VisionTransformer(TINY)


class Halt(keras.callbacks.Callback):
    """Ends a run within an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise RuntimeError("halt")


@pytest.fixture(scope="module")
def whole(image_sets, tmp_path_factory):
    model = model_of(0)
    return model, train(RECIPE, model, image_sets.data_in_memory(),
                        output_dir=tmp_path_factory.mktemp("whole"), verbose=0)  # fmt: skip


def test_adapters_and_head_are_all_that_learns(whole):
    model, result = whole
    plain, loaded = model_of(0), keras.saving.load_model(result.files["model"])
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), expected)
    assert loaded.adapters.keys() == model.adapters.keys()
    assert all(one.b.any() for one in model.adapters.values())

    keras_vit.load_adapter(plain, result.files["adapter"])  # a backbone of the same weights
    np.testing.assert_allclose(plain.predict(IMAGES, verbose=0), expected, atol=1e-6)
    checkpoint = max(result.files["checkpoints"].glob("step_*"))
    merged = keras_vit.from_checkpoint(checkpoint)
    assert not merged.adapters
    np.testing.assert_allclose(merged.predict(IMAGES, verbose=0), expected, atol=1e-6)


def test_it_goes_on_to_the_same_end(whole, image_sets, tmp_path):
    data = image_sets.data_in_memory()
    with pytest.raises(RuntimeError, match="halt"):
        train(RECIPE, model_of(0), data, output_dir=tmp_path, verbose=0, checkpoint_every=2,
              callbacks=[Halt()])  # fmt: skip
    model = model_of(9)
    result = train(RECIPE, model, data, output_dir=tmp_path, verbose=0)
    assert result.summary["resumed_at_steps"] == [2]
    for one, other in zip(whole[0].weights, model.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)
    again = train(RECIPE, model, data, output_dir=tmp_path, verbose=0)  # of the adapted model
    assert again.summary == result.summary
