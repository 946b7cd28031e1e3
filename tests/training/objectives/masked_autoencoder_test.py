"""A masked autoencoder computes what transformers' does, and trains like any other objective."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vit
from keras_vit.data import Augmentation
from keras_vit.data.dataset import ImageDataset
from keras_vit.interpret import reconstruction
from keras_vit.layers.token_state import TokenState
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import Recipe, build_model, train
from keras_vit.training.objectives import MaskedAutoencoder
from keras_vit.training.objectives.masked_autoencoder import MaskedPatches, to_images, to_patches
from keras_vit.training.objectives.masking import VisibleTokens

FIXTURE = Path(__file__).parents[2] / "fixtures" / "vit_mae"
TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=2, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=0)  # fmt: skip
RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01)


@pytest.fixture(scope="module")
def reference():
    """Model and objective of the fixture, its batch, and what transformers computed."""
    expected = dict(np.load(FIXTURE / "expected.npz"))
    model = build_model(FIXTURE, None, RECIPE)  # as `keras-vit pretrain` does
    hide = MaskedPatches(patch_size=4, num_visible=3).hide
    batch = [hide(*pair) for pair in zip(expected["images"], expected["noise"], strict=True)]
    batch = tf.nest.map_structure(lambda *parts: tf.stack(parts), *batch)
    return model, MaskedAutoencoder(0.6, decoder=FIXTURE), batch, expected


def test_mask_pixels_loss_and_gradients_are_those_of_transformers(reference):
    model, objective, ((images, order), patches, hidden), expected = reference
    np.testing.assert_array_equal(hidden, expected["mask"])
    network = objective.network(model)
    with tf.GradientTape() as tape:
        pixels = network([images, order])
        loss = objective.loss(RECIPE, None)(patches, pixels, sample_weight=hidden)
    np.testing.assert_allclose(pixels, expected["pixels"], atol=1e-5)
    assert float(loss) == pytest.approx(float(expected["loss"]), rel=1e-5)
    # The gradients are stored as weights, so that they find their places in the same way.
    stored = keras_vit.from_checkpoint(FIXTURE / "gradients", decoder=False)
    stored = MaskedAutoencoder(0.6, decoder=FIXTURE / "gradients").network(stored)
    assert len(network.trainable_variables) == len(stored.trainable_variables) == 49
    scale = max(np.abs(variable).max() for variable in stored.trainable_variables)
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    for gradient, variable in zip(gradients, stored.trainable_variables, strict=True):
        if variable.name != "position_embedding":  # transformers does not train it
            np.testing.assert_allclose(gradient, variable, atol=1e-5 * scale, err_msg=variable.path)


def test_a_hidden_patch_is_not_seen(reference):
    """The encoder gets the visible ones alone: others may be anything."""
    model, objective, ((images, order), _, hidden), _ = reference
    patches = to_patches(images, 4)
    other = to_images(np.asarray(patches + 9 * hidden[..., None]), images.shape)
    network = objective.network(model)
    one, two = network([images, order]), network([tf.constant(other), order])
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert model.blocks[0].output.shape[1] == 10
    assert network.get_layer("decoder").inputs[0].shape[1] == 4


POSITIONS = {
    "learned": {"num_register_tokens": 1},
    "rotary": {"rotary": {"scale": "centred"}, "position_embedding": "none"},
    "own bias": {"relative_position_bias": {}, "rematerialize": True},
    "shared bias": {"relative_position_bias": {"shared": True}, "class_token": False,
                    "pooling": "gap"},
}  # fmt: skip


@pytest.mark.parametrize("positions", POSITIONS)
def test_tokens_keep_their_positions_whichever_are_seen_and_in_what_order(positions):
    config = TINY.replace(hidden_size=16, num_layers=2, **POSITIONS[positions])
    model, draw = VisionTransformer(config), np.random.default_rng(0)
    model.set_weights([draw.normal(0, 0.5, w.shape) for w in model.get_weights()])
    prefix, images = config.num_prefix_tokens, draw.normal(size=(2, 8, 8, 1)).astype("float32")
    order = np.stack([draw.permutation(16), draw.permutation(16)]).astype("int32")
    state = TokenState.of(model.parts.embed(tf.constant(images)))
    plain = np.asarray(model.parts.run_blocks(state)[-1].tokens)
    state = VisibleTokens(prefix, 16)(state.tokens, order, state.state)
    shuffled = np.asarray(model.parts.run_blocks(state)[-1].tokens)
    for one, other, places in zip(shuffled, plain, order, strict=True):
        np.testing.assert_allclose(one[:prefix], other[:prefix], atol=1e-4)
        np.testing.assert_allclose(one[prefix:], other[prefix:][places], atol=1e-4)
    network = MaskedAutoencoder(decoder_size=8).network(model)
    with tf.GradientTape() as tape:
        pixels = network([images, order], training=True)
    trained = [variable.value for variable in network.trainable_variables]
    assert pixels.shape == (2, 16, 4) and None not in tape.gradient(pixels, trained)


def _train(data, folder, model=None, objective=None, **arguments):
    keras.utils.set_random_seed(0)
    model = model or VisionTransformer(TINY)
    objective = objective or MaskedAutoencoder(decoder_size=8)
    return model, train(RECIPE, model, data, output_dir=folder, objective=objective, verbose=0,
                        **arguments)  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(image_sets, tmp_path_factory):
    data = image_sets.data_in_memory()
    unlabelled = ImageDataset("easy", (), train=data.train, validation=data.test)
    return unlabelled, *_train(unlabelled, tmp_path_factory.mktemp("mae"))


def test_a_run_needs_no_classes_and_leaves_model_decoder_and_pictures(pretrained):
    _, model, result = pretrained
    assert result.summary["validation_loss"] < result.history[0]["loss"]
    assert result.summary["best_epoch"]["epoch"] == 2
    assert result.summary["objective"]["mask_ratio"] == 0.75
    assert json.loads(result.files["summary"].read_text()) == result.summary
    assert result.files["pictures"].stat().st_size > 500
    loaded = keras.saving.load_model(result.files["model"])
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_decoder_goes_on_where_it_ended(pretrained):
    _, model, result = pretrained
    path = result.files["decoder"]
    decoder = MaskedAutoencoder(decoder=path).network(model).get_layer("decoder")
    saved = keras.saving.load_model(path)
    for one, other in zip(decoder.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="9 tokens of 8 numbers.*for 5 of 8.*mask_ratio"):
        MaskedAutoencoder(0.5, decoder=path).network(model)


def test_a_report_shows_what_is_filled_in(pretrained):
    _, model, result = pretrained
    decoder = reconstruction.decoder_beside(result.files["model"])
    assert decoder == result.files["decoder"]
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    told = reconstruction.reconstruct(model, images, decoder)
    hidden = (told["masked"] != images).any(-1)
    assert hidden.mean() == 0.75
    np.testing.assert_allclose(told["reconstructed"][~hidden], images[~hidden])
    assert (told["reconstructed"] != images).any(-1)[hidden].mean() > 0.9
    picture = reconstruction.picture(model, images, decoder)
    assert picture.name == "reconstruction" and len(picture.draw().axes) == 9


@pytest.mark.slow
def test_it_ends_the_same_where_it_is_cut_short(pretrained, tmp_path):
    data, model, _ = pretrained

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(data, tmp_path, checkpoint_every=1, callbacks=[Stop()])
    again, result = _train(data, tmp_path, checkpoint_every=1)
    assert result.summary["resumed_at_steps"] == [1]
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "model, recipe, objective, message",
    [
        ({"token_merging": 2}, {}, {}, "token merging"),
        ({}, {"augmentation": Augmentation(mixup_alpha=0.5)}, {}, "mixup_alpha=0.5"),
        ({"patch_size": 8}, {}, {}, "hides some of 1 patches"),
        ({}, {}, {"mask_ratio": 1.5}, r"in \(0, 1\)"),
    ],
)
def test_what_cannot_be_masked_is_refused(image_sets, model, recipe, objective, message):
    with pytest.raises(ValueError, match=message):
        MaskedAutoencoder(**objective).check(
            RECIPE.replace(**recipe), VisionTransformer(TINY.replace(**model)), None
        )


def test_another_kind_of_model_is_refused():
    with pytest.raises(ValueError, match="Expected a keras_vit.VisionTransformer"):
        MaskedAutoencoder().check(RECIPE, keras.Sequential([keras.Input((2,))]), None)
