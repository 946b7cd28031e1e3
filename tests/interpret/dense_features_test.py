"""Features of tokens and patches."""

import numpy as np
import pytest
from keras import ops

from keras_vit import VisionTransformer, VisionTransformerConfig, interpret

TINY = {
    "image_size": (8, 12), "patch_size": 4, "hidden_size": 16, "num_layers": 3, "num_heads": 2,
    "mlp_dim": 24, "num_classes": 5, "num_register_tokens": 1,
}  # fmt: skip


@pytest.fixture
def model():
    return VisionTransformer(VisionTransformerConfig(**TINY))


@pytest.fixture
def images():
    return np.random.default_rng(1).standard_normal((2, 8, 12, 3), "float32")


def after(model, images, count):
    tokens = model.embed(images)
    for block in model.blocks[:count]:
        tokens = block(tokens)
    return ops.convert_to_numpy(tokens)


def test_extractor_returns_the_tokens_behind_the_blocks(model, images):
    last, first = interpret.feature_extractor(model, [-1, 0])(images)
    assert first.shape == (2, 8, 16)
    np.testing.assert_allclose(first, after(model, images, 1), atol=1e-5)
    np.testing.assert_allclose(last, after(model, images, 3), atol=1e-5)


def test_extractor_of_one_block_returns_one_tensor_and_shares_weights(model, images):
    extractor = interpret.feature_extractor(model, 1)
    before = ops.convert_to_numpy(extractor(images))
    np.testing.assert_allclose(before, after(model, images, 2), atol=1e-5)
    model.get_layer("patch_encoder").projection.bias.assign(np.ones(16))
    np.testing.assert_allclose(extractor(images), after(model, images, 2), atol=1e-5)
    assert np.abs(ops.convert_to_numpy(extractor(images)) - before).max() > 1e-2


def test_extractor_predicts_and_takes_any_size(images):
    model = VisionTransformer(VisionTransformerConfig(**TINY, dynamic_image_size=True))
    tokens = interpret.feature_extractor(model, 0).predict(
        np.zeros((1, 16, 8, 3), "float32"), verbose=0
    )
    assert tokens.shape == (1, 2 + 8, 16)


def test_patch_features_lie_on_the_grid_behind_the_final_norm(model, images):
    features = interpret.patch_features(model, images, batch_size=1)
    assert features.shape == (2, 2, 3, 16) and features.dtype == np.float32
    expected = ops.convert_to_numpy(model.get_layer("encoder_norm")(after(model, images, 3)))
    np.testing.assert_allclose(features.reshape(2, 6, 16), expected[:, 2:], atol=1e-5)
    behind_first = interpret.patch_features(model, images, block=0)
    np.testing.assert_allclose(
        behind_first.reshape(2, 6, 16), after(model, images, 1)[:, 2:], atol=1e-5
    )


def test_patch_similarity_is_the_cosine_to_the_chosen_patch(model, images):
    features = interpret.patch_features(model, images, block=1)
    result = interpret.patch_similarity(model, images, (1, 2), block=1)
    assert result.shape == (2, 2, 3)
    np.testing.assert_allclose(result[:, 1, 2], 1, rtol=1e-5)
    a, b = features[1, 0, 1], features[1, 1, 2]
    np.testing.assert_allclose(
        result[1, 0, 1], a @ b / np.linalg.norm(a) / np.linalg.norm(b), rtol=1e-4
    )


@pytest.mark.parametrize("patch", [(2, 0), (0, 3), (-3, 0)])
def test_a_patch_off_the_grid_is_an_error(model, images, patch):
    with pytest.raises(ValueError, match="2 rows and 3 columns"):
        interpret.patch_similarity(model, images, patch)


def test_pca_paints_like_features_alike(model, images):
    images = np.concatenate([images, images])
    colors = interpret.feature_pca(model, images)
    assert colors.shape == (4, 2, 3, 3) and colors.dtype == np.float32
    assert colors.min() == 0 and colors.max() == 1
    np.testing.assert_allclose(colors[:2], colors[2:], atol=1e-4)


def test_pca_of_one_patch_is_grey():
    model = VisionTransformer(VisionTransformerConfig(**{**TINY, "image_size": 4}))
    colors = interpret.feature_pca(model, np.ones((1, 4, 4, 3), "float32"))
    np.testing.assert_array_equal(colors, 0.5)


def test_an_unknown_block_is_an_error(model, images):
    with pytest.raises(ValueError, match="from 0 to 2"):
        interpret.feature_extractor(model, [3])
    with pytest.raises(ValueError, match="from 0 to 2"):
        interpret.patch_features(model, images, block=7)
