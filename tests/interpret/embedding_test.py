"""Position similarity and embedding filters."""

import numpy as np
import pytest

from keras_vit import HybridConfig, VisionTransformer, VisionTransformerConfig, interpret

TINY = {
    "image_size": (8, 12), "patch_size": 4, "hidden_size": 16, "num_layers": 1, "num_heads": 2,
    "mlp_dim": 24, "num_classes": 5,
}  # fmt: skip


def make(**fields):
    return VisionTransformer(VisionTransformerConfig(**{**TINY, **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"distillation_token": True, "num_register_tokens": 2},
        {"num_register_tokens": 2, "position_embedding_prefix_rows": 0},
        {"class_token": False, "pooling": "map"},
        {"dynamic_image_size": True},
    ],
)
def test_similarity_is_the_cosine_of_patch_rows(fields):
    model = make(**fields)
    table = model.get_layer("patch_encoder").position_embedding
    values = np.random.default_rng(0).standard_normal(table.shape).astype("float32")
    table.assign(values)
    patches = values[0, -6:].reshape(2, 3, 16)
    result = interpret.position_similarity(model)
    assert result.shape == (2, 3, 2, 3) and result.dtype == np.float32
    unit = patches / np.linalg.norm(patches, axis=-1, keepdims=True)
    for row, column in np.ndindex(2, 3):
        expected = unit @ unit[row, column]
        np.testing.assert_allclose(result[row, column], expected, atol=1e-6)


def test_fixed_positions_are_most_alike_nearby():
    result = interpret.position_similarity(make(position_embedding="sincos2d"))
    assert result[0, 0, 0, 1] > result[0, 0, 0, 2]
    assert result[0, 0, 0, 1] > result[0, 0, 1, 1]


def test_an_embedding_of_zeros_gives_zeros():
    model = make()
    table = model.get_layer("patch_encoder").position_embedding
    table.assign(np.zeros(table.shape))
    np.testing.assert_array_equal(interpret.position_similarity(model), 0)


def test_positions_that_are_not_added_cannot_be_compared():
    model = make(position_embedding="none", rotary={})
    with pytest.raises(ValueError, match="positions added.*position_embedding='none'"):
        interpret.position_similarity(model)


def test_filters_find_the_directions_that_the_kernel_uses():
    model = make()
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.standard_normal((48, 2)))
    strength = random.standard_normal((2, 16)) * [[5], [1]]
    model.get_layer("patch_encoder").projection.kernel.assign(basis @ strength)
    first = interpret.embedding_filters(model, n=1)[0].reshape(-1) - 0.5
    alignment = np.abs(first @ basis) / np.linalg.norm(first)
    assert alignment[0] > 0.95
    np.testing.assert_allclose(np.hypot(*alignment), 1, rtol=1e-4)


def test_filters_are_images_from_0_to_1_around_grey():
    filters = interpret.embedding_filters(make(), n=5)
    assert filters.shape == (5, 4, 4, 3) and filters.dtype == np.float32
    assert filters.min() >= 0
    np.testing.assert_allclose(filters.max(axis=(1, 2, 3)), 1, rtol=1e-6)
    flat = filters.reshape(5, -1) - 0.5
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-5)  # principal axes


@pytest.mark.parametrize(("fields", "count"), [({}, 15), ({"patch_size": 2, "in_channels": 1}, 4)])
def test_small_patches_have_fewer_filters(fields, count):
    assert len(interpret.embedding_filters(make(**fields))) == count


def test_a_hybrid_has_no_filters_to_look_at():
    hybrid = HybridConfig(stem_width=8, group_norm_groups=2)
    with pytest.raises(ValueError, match="Received: a hybrid"):
        interpret.embedding_filters(make(patch_size=1, hybrid=hybrid))


def test_n_below_one_is_an_error():
    with pytest.raises(ValueError, match="n=0"):
        interpret.embedding_filters(make(), n=0)
