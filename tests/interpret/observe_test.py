"""What measures ask of a model."""

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer, VisionTransformerConfig, interpret
from keras_vit.interpret import observe
from keras_vit.models.config import config_of

CONFIG = VisionTransformerConfig(
    image_size=(8, 12), patch_size=4, hidden_size=16, num_layers=3, num_heads=2, mlp_dim=24,
    num_classes=5,
)  # fmt: skip


def test_batches_cover_all_images_in_order():
    pieces = list(observe.batches(np.arange(5), 2))
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2, 3], [4]]


def test_grid_is_that_of_the_images():
    model = VisionTransformer(CONFIG.replace(image_size=8, dynamic_image_size=True))
    assert observe.grid_of(model, np.zeros((1, 16, 4, 3))) == (4, 1)


def test_what_leads_to_the_images_of_a_model_is_observed_with_it():
    """Pixels of another size and range in front, the same maps behind."""
    pixels = keras.Input((16, 24, 3))
    halved = keras.layers.AveragePooling2D(2)(keras.layers.Rescaling(1 / 127.5, -1)(pixels))
    leading, plain = VisionTransformer(CONFIG, input_tensor=halved), VisionTransformer(CONFIG)
    weights = np.random.default_rng(0)
    leading.set_weights([weights.normal(size=w.shape) * 0.3 for w in leading.get_weights()])
    plain.set_weights(leading.get_weights())
    given = np.random.default_rng(1).uniform(0, 255, (2, 16, 24, 3)).astype("float32")
    own = given.reshape(2, 8, 2, 12, 2, 3).mean((2, 4)) / 127.5 - 1
    assert observe.grid_of(leading, given) == (2, 3)
    for measure in (
        interpret.attention_rollout, interpret.attention_distance, interpret.patch_features,
        interpret.class_relevance, lambda model, x: interpret.patch_features(model, x, 0),
    ):  # fmt: skip
        np.testing.assert_allclose(measure(leading, given), measure(plain, own), rtol=1e-3)
    with pytest.raises(ValueError, match=r"\(batch, 16, 24, 3\)"):
        interpret.attention_rollout(leading, own)


def test_a_model_of_several_inputs_is_refused():
    first, second = keras.Input((8, 12, 3)), keras.Input((8, 12, 3))
    model = VisionTransformer(CONFIG, input_tensor=keras.layers.Add()([first, second]))
    with pytest.raises(ValueError, match="of one input. Received: .* of 2 inputs"):
        observe.check_images(model, np.zeros((1, 8, 12, 3)))


def test_the_config_of_a_model_is_returned():
    model = VisionTransformer(CONFIG)
    assert config_of(model) is model.config


@pytest.mark.parametrize("model", [None, "ViT_B16", CONFIG])
def test_what_is_no_model_is_an_error(model):
    with pytest.raises(ValueError, match=f"Received: {type(model).__name__}"):
        config_of(model)
