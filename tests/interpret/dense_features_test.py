"""Features of tokens and patches."""

import numpy as np
import pytest
from keras import ops

from keras_vit import interpret
from keras_vit.interpret import dense_features


@pytest.fixture(scope="module")
def model(make):
    return make(num_register_tokens=1)


@pytest.fixture(scope="module")
def images(images):
    return images()


def after(model, images, count):
    tokens = model.embed(images)
    for block in model.blocks[:count]:
        tokens = block(tokens)
    return ops.convert_to_numpy(tokens)


def test_extractor_returns_the_tokens_behind_the_blocks(model, images):
    last, first = map(ops.convert_to_numpy, interpret.feature_extractor(model, [-1, 0])(images))
    assert first.shape == (2, 8, 16)
    np.testing.assert_allclose(first, after(model, images, 1), atol=1e-5)
    np.testing.assert_allclose(last, after(model, images, 3), atol=1e-5)


def test_extractor_of_one_block_returns_one_tensor_and_shares_weights(make, images):
    model = make.build(num_register_tokens=1)
    extractor = interpret.feature_extractor(model, 1)
    before = ops.convert_to_numpy(extractor(images))
    np.testing.assert_allclose(before, after(model, images, 2), atol=1e-5)
    model.parts.embedding[-1].projection.bias.assign(np.ones(16))
    changed = ops.convert_to_numpy(extractor(images))
    np.testing.assert_allclose(changed, after(model, images, 2), atol=1e-5)
    assert np.abs(changed - before).max() > 1e-2


def test_extractor_takes_any_size(make):
    model = make(num_register_tokens=1, dynamic_image_size=True)
    tokens = interpret.feature_extractor(model, 0)(np.zeros((1, 16, 8, 3), "float32"))
    assert tokens.shape == (1, 2 + 8, 16)


def test_patch_features_lie_on_the_grid_behind_the_final_norm(model, images):
    features = interpret.patch_features(model, images, batch_size=1)
    assert features.shape == (2, 2, 3, 16) and features.dtype == np.float32
    expected = ops.convert_to_numpy(model.parts.norm(after(model, images, 3)))
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


def scene(seed=0):
    """Features of 4 x 6 patches: a thing of three parts on a ground, and where it is looked at."""
    random = np.random.default_rng(seed)
    kind = np.array(
        [[0, 0, 0, 0, 0, 0], [0, 1, 1, 2, 2, 0], [0, 1, 1, 3, 3, 0], [0, 0, 0, 0, 0, 0]]
    )
    features = 10 * (kind > 0)[..., None] * np.eye(8)[0] + 3 * np.eye(8)[1:5][kind]
    noise = 0.01 * random.standard_normal(features.shape)
    return kind, (features + noise)[None].astype("float32"), (kind > 0)[None].astype("float32")


@pytest.fixture
def seen(monkeypatch):
    """Puts the scene in the place of what a model sees."""
    kind, features, looked_at = scene()
    monkeypatch.setattr(dense_features, "patch_features", lambda *_, **__: features)
    monkeypatch.setattr(dense_features, "head_attention", lambda *_, **__: looked_at[:, None])
    return kind, looked_at


def test_the_foreground_is_what_differs_most_with_the_sign_of_what_is_looked_at(
    seen, monkeypatch, model, images
):
    kind, looked_at = seen
    first = interpret.feature_foreground(model, images)
    assert first.shape == (1, 4, 6) and first.dtype == np.float32
    assert first[0][kind > 0].min() > 0 > first[0][kind == 0].max()
    monkeypatch.setattr(dense_features, "head_attention", lambda *_, **__: 1 - looked_at[:, None])
    np.testing.assert_allclose(interpret.feature_foreground(model, images), -first, rtol=1e-5)


def test_pca_paints_the_parts_of_things_alike_and_cuts_the_ground_away(seen, model, images):
    kind, _ = seen
    colors = interpret.feature_pca(model, images)[0]
    assert colors.shape == (4, 6, 4) and colors.dtype == np.float32
    assert colors.min() == 0 and colors.max() == 1
    np.testing.assert_array_equal(colors[..., 3], kind > 0)
    parts = [colors[kind == number, :3] for number in (1, 2, 3)]
    for part in parts:
        assert np.ptp(part[:, :2], axis=0).max() < 0.1  # the third component is noise
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(parts[one][:, :2].mean(0) - parts[other][:, :2].mean(0)).max() > 0.5


def test_the_foreground_of_a_model_is_its_first_component(model, images):
    features = interpret.patch_features(model, images).reshape(12, 16).astype("float64")
    _, _, components = np.linalg.svd(features - features.mean(0), full_matrices=False)
    expected = (features - features.mean(0)) @ components[0]
    looked_at = interpret.head_attention(model, images).mean(1).ravel()
    expected *= np.sign(np.corrcoef(expected, looked_at)[0, 1])
    result = interpret.feature_foreground(model, images, batch_size=1)
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-3, atol=1e-4)


def test_pca_of_one_patch_is_grey(make):
    colors = interpret.feature_pca(make(image_size=4), np.ones((1, 4, 4, 3), "float32"))
    np.testing.assert_array_equal(colors[..., :3], 0.5)


def test_an_unknown_block_is_an_error(model, images):
    with pytest.raises(ValueError, match="from 0 to 2"):
        interpret.feature_extractor(model, [3])
    with pytest.raises(ValueError, match="from 0 to 2"):
        interpret.patch_features(model, images, block=7)
