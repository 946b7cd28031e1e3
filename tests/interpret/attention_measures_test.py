"""Attention maps, rollout and distance of a model: any grid, any tokens, any pooling."""

import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import interpret
from keras_vit.interpret import attention_measures as attention_module
from keras_vit.interpret.attention_measures import AttentionWalk
from keras_vit.interpret.observe import readout


@pytest.fixture(scope="module")
def walked(make, images):
    """What a walk over the blocks of each model gives, once."""
    walks = {}

    def walk(model):
        if id(model) not in walks:
            steps = AttentionWalk(model, images())
            walks[id(model)] = list(steps), ops.convert_to_numpy(steps.tokens)
        return walks[id(model)]

    return walk


def test_the_observed_path_equals_the_fast_path(model, images, walked):
    _, tokens = walked(model)
    fast = ops.convert_to_numpy(model.encode(images()))
    np.testing.assert_allclose(ops.convert_to_numpy(model.parts.finish(tokens)), fast, atol=1e-5)
    if model.logits is not None:
        logits = ops.convert_to_numpy(model.head(model.pool(model.parts.finish(tokens))))
        exp = np.exp(logits - logits.max(-1, keepdims=True))
        outputs = ops.convert_to_numpy(model(images()))
        np.testing.assert_allclose(exp / exp.sum(-1, keepdims=True), outputs, atol=1e-5)


def test_maps_are_attention_of_every_token(model, walked):
    tokens = model.config.num_prefix_tokens + 6
    maps, _ = walked(model)
    assert [one.shape for one in maps] == 3 * [(2, 2, tokens, tokens)]
    for one in maps:
        assert one.dtype == np.float32
        np.testing.assert_allclose(one.sum(-1), 1, atol=1e-5)


def test_rollout_is_a_share_for_each_patch(model, images):
    result = interpret.attention_rollout(model, images())
    assert result.shape == (2, 2, 3) and result.dtype == np.float32
    assert result.min() >= 0 and result.sum((1, 2)).max() <= 1 + 1e-5
    if not model.config.num_prefix_tokens:
        np.testing.assert_allclose(result.sum((1, 2)), 1, atol=1e-5)


def test_readout_sums_to_one(model, walked):
    _, tokens = walked(model)
    weights = readout(model, tokens)
    assert weights.shape == tokens.shape[:2] and weights.min() >= 0
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_heads_look_from_where_the_output_is_read(model, images, walked):
    maps, tokens = walked(model)
    prefix = model.config.num_prefix_tokens
    for block in (0, -1):
        result = interpret.head_attention(model, images(), block, batch_size=1)
        assert result.shape == (2, 2, 2, 3) and result.dtype == np.float32
        expected = readout(model, tokens)[:, None, None] @ maps[block]
        np.testing.assert_allclose(
            result.reshape(2, 2, 6), expected[:, :, 0, prefix:], rtol=1e-4, atol=1e-7
        )


def test_distance_lies_within_the_image(model, images):
    result = interpret.attention_distance(model, images())
    assert result.shape == (3, 2) and result.dtype == np.float32
    assert (result > 0).all() and (result < np.hypot(8, 12)).all()


def test_rollout_and_distance_equal_their_plain_forms(make, images):
    model, x = make(num_register_tokens=2), images()
    maps = interpret.attention_maps(model, x)
    np.testing.assert_allclose(
        interpret.attention_rollout(model, x, "max", 0.3),
        interpret.rollout(maps, 3, (2, 3), "max", 0.3),
        rtol=1e-5,
    )
    for renormalize in (False, True):
        np.testing.assert_allclose(
            interpret.attention_distance(model, x, renormalize=renormalize),
            interpret.mean_attention_distance(maps, 3, (2, 3), 4, renormalize=renormalize),
            rtol=1e-5,
        )


def test_attention_pooling_is_read_at_what_the_probe_looks_at(make, images):
    model, x = make(class_token=False, pooling="map"), images()
    walk = AttentionWalk(model, x)
    maps = list(walk)
    pooling = model.parts.pooling
    _, probe = pooling(model.parts.norm(walk.tokens), return_attention=True)
    expected = interpret.rollout(
        maps, 0, (2, 3), readout=ops.convert_to_numpy(probe)[:, :, 0].mean(1)
    )
    np.testing.assert_allclose(interpret.attention_rollout(model, x), expected, rtol=1e-5)
    assert np.abs(expected - interpret.rollout(maps, 0, (2, 3))).max() > 1e-3


def test_mean_pooling_is_read_at_the_patches_though_there_is_a_class_token(make, images):
    model, x = make(pooling="gap"), images()
    expected = interpret.rollout(
        interpret.attention_maps(model, x), 1, (2, 3), readout=np.array([0, *6 * [1 / 6]])
    )
    np.testing.assert_allclose(interpret.attention_rollout(model, x), expected, rtol=1e-5)


def test_a_rollout_may_begin_later_and_leave_patches_out(make, images):
    model, x = make(num_register_tokens=2), images()
    maps = interpret.attention_maps(model, x)
    np.testing.assert_allclose(
        interpret.attention_rollout(model, x, first_block=1),
        interpret.rollout(maps[1:], 3, (2, 3)), rtol=1e-5,
    )  # fmt: skip
    left_out = np.zeros((2, 2, 3), bool)
    left_out[1, 0, 2] = True  # token 3 + 2 of the second image
    kept = [one.mean(1, keepdims=True) for one in maps]
    for one in kept:
        one[1, :, :, 5] = 0
        one /= one.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        interpret.attention_rollout(model, x, left_out=left_out, batch_size=1),
        interpret.rollout(kept, 3, (2, 3)), rtol=1e-5,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"`left_out` of shape \(2, 2, 3\)"):
        interpret.attention_rollout(model, x, left_out=left_out[0])


def test_a_hybrid_measures_in_pixels_of_the_image(make, images):
    model = make("hybrid")
    maps = interpret.attention_maps(model, images())
    expected = interpret.mean_attention_distance(maps, 1, (2, 3), 4)
    np.testing.assert_allclose(interpret.attention_distance(model, images()), expected, rtol=1e-5)


def test_an_any_size_model_takes_the_grid_of_the_images(make, images):
    model = make(dynamic_image_size=True)
    assert interpret.attention_rollout(model, images(1, 16, 8)).shape == (1, 4, 2)


def test_chosen_blocks_come_in_the_order_asked(make, images):
    model = make()
    every = interpret.attention_maps(model, images())
    last, first = interpret.attention_maps(model, images(), blocks=[-1, 0])
    np.testing.assert_allclose(last, every[2], atol=1e-6)  # the others may be computed at once
    np.testing.assert_allclose(first, every[0], atol=1e-6)


def test_batches_do_not_change_the_result(make, images):
    model, x = make(class_token=False, pooling="map"), images(5)
    for measure in (interpret.attention_rollout, interpret.attention_distance):
        np.testing.assert_allclose(measure(model, x, batch_size=2), measure(model, x), rtol=1e-4)


def test_mixed_precision_gives_float32(make, images):
    model = make(dtype="mixed_bfloat16")
    exact = interpret.attention_rollout(make(), images())
    result = interpret.attention_rollout(model, images())
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, exact, atol=0.02)


@pytest.mark.parametrize(
    "measure, heads",
    [(interpret.attention_rollout, 1), (interpret.attention_distance, 2)],
    ids=["rollout", "distance"],
)
def test_less_than_a_map_is_held_when_the_next_is_made(measure, heads, make, images, monkeypatch):
    alive, x = [], images()
    to_array = attention_module.to_array

    def recorded(tensor):
        held = sum(array.shape[1] for reference in alive if (array := reference()) is not None)
        assert held < 2  # heads of the model
        array = to_array(tensor).copy()
        alive.append(weakref.ref(array))
        assert array.shape[:2] == (len(x), heads)
        return array

    monkeypatch.setattr(attention_module, "to_array", recorded)
    measure(make(), x)
    assert len(alive) == 3 * 2 / heads


def test_the_fast_path_never_asks_for_maps(make, images, monkeypatch):
    model = make()
    asked = []
    for block in model.blocks:
        call = block.call
        monkeypatch.setattr(
            block,
            "call",
            lambda *args, call=call, **kwargs: asked.append(kwargs) or call(*args, **kwargs),
        )
    model(images())
    assert len(asked) == 3
    assert not any(kwargs.get("return_attention") for kwargs in asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": lambda images: images(height=12)},
            r"\(batch, 8, 12, 3\).*Received: shape \(2, 12, 12, 3\)",
        ),
        ({"images": lambda images: images()[0]}, r"Received: shape \(8, 12, 3\)"),
        ({"images": lambda images: images(0)}, "at least one"),
        ({"head_fusion": "sum"}, "`head_fusion`"),
        ({"discard_ratio": 2}, "`discard_ratio`"),
        ({"batch_size": 0}, "`batch_size` .* at least 1. Received: batch_size=0"),
        ({"model": keras.Sequential()}, "VisionTransformer. Received: Sequential"),
    ],
)
def test_errors_say_what_was_expected(changes, message, make, images):
    arguments = {"model": make(), "images": images()}
    if callable(changes.get("images")):
        changes = {"images": changes["images"](images)}
    with pytest.raises(ValueError, match=message):
        interpret.attention_rollout(**{**arguments, **changes})


def test_a_wrapped_model_is_pointed_out(make, images):
    inner = make()
    outer = keras.Sequential([keras.Input((8, 12, 3)), inner])
    with pytest.raises(ValueError, match=f"get_layer.'{inner.name}'."):
        interpret.attention_rollout(outer, images())


@pytest.mark.parametrize("blocks", [[3], [-4], []])
def test_unknown_blocks_are_an_error(blocks, make, images):
    with pytest.raises(ValueError, match="block numbers from 0 to 2"):
        interpret.attention_maps(make(), images(), blocks=blocks)


def test_sizes_off_the_patch_grid_are_an_error(make, images):
    with pytest.raises(ValueError, match="divisible by 4 pixels"):
        interpret.attention_rollout(make(dynamic_image_size=True), images(1, 10, 8))
