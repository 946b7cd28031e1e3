"""Attention maps, rollout and distance of a model: any grid, any tokens, any pooling."""

import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import HybridConfig, VisionTransformer, VisionTransformerConfig, interpret
from keras_vit.interpret import attention_measures as attention_module
from keras_vit.interpret.attention_measures import AttentionWalk
from keras_vit.interpret.observe import readout

TINY = {
    "image_size": (8, 12), "patch_size": 4, "hidden_size": 16, "num_layers": 3, "num_heads": 2,
    "mlp_dim": 24, "num_classes": 5,
}  # fmt: skip
KINDS = {
    "class token": {},
    "registers": {"num_register_tokens": 3},
    "distilled": {"distillation_token": True, "pooling": "token+distillation"},
    "mean": {"class_token": False, "pooling": "gap"},
    "mean with class token, norm last": {"pooling": "gap", "final_norm": "pooled"},
    "mean of all": {"pooling": "gap", "pooling_includes_prefix_tokens": True},
    "maximum": {"class_token": False, "pooling": "max"},
    "token and mean": {"pooling": "token+gap"},
    "probe": {"class_token": False, "pooling": "map"},
    "no pooling": {"pooling": "none", "num_classes": 0},
    "no pooling, no class token": {"pooling": "none", "num_classes": 0, "class_token": False},
    "any size": {"dynamic_image_size": True, "image_size": (8, 8)},
    "CLIP": {"pre_norm": True, "patch_bias": False, "gelu": "quick"},
    "DINOv2": {"layer_scale": True, "layer_scale_init": 0.5, "mlp": "swiglu", "qk_norm": True},
    "fixed positions, pre-logits": {"position_embedding": "sincos2d", "pre_logits_size": 6},
    "hybrid": {
        "patch_size": 1,
        "hybrid": HybridConfig(stem_width=8, group_norm_groups=2),
    },
    "merging": {"token_merging": 2},
    "merging, mean": {"token_merging": (0, 2, 1), "pooling": "gap"},
    "merging, probe": {"token_merging": 1, "class_token": False, "pooling": "map"},
    "merging, no pooling": {"token_merging": 2, "pooling": "none", "num_classes": 0},
}


def make(seed=0, dtype=None, **fields):
    model = VisionTransformer(VisionTransformerConfig(**{**TINY, **fields}), dtype=dtype)
    random = np.random.default_rng(seed)
    for variable in model.weights:
        values = random.standard_normal(variable.shape) * 0.3
        variable.assign(values + (1 if variable.path.endswith("gamma") else 0))
    return model


def images(count=2, height=8, width=12, channels=3, seed=1):
    return np.random.default_rng(seed).standard_normal((count, height, width, channels), "float32")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.replace(" ", "-"))
def model(request):
    return make(**KINDS[request.param])


def test_the_observed_path_equals_the_fast_path(model):
    walk = AttentionWalk(model, images())
    assert len(list(walk)) == 3
    fast = interpret.feature_extractor(model, -1)(images())
    np.testing.assert_allclose(walk.tokens, fast, atol=1e-5)
    if model.logits is not None:
        logits = model.head(model.pool(model.parts.finish(walk.tokens)))
        expected = keras.Model(model.input, model.logits)(images())
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_maps_are_attention_of_every_token(model):
    tokens = model.config.num_prefix_tokens + 6
    maps = interpret.attention_maps(model, images())
    assert [one.shape for one in maps] == 3 * [(2, 2, tokens, tokens)]
    for one in maps:
        assert one.dtype == np.float32
        np.testing.assert_allclose(one.sum(-1), 1, atol=1e-5)


def test_rollout_is_a_share_for_each_patch(model):
    result = interpret.attention_rollout(model, images())
    assert result.shape == (2, 2, 3) and result.dtype == np.float32
    assert result.min() >= 0 and result.sum((1, 2)).max() <= 1 + 1e-5
    if not model.config.num_prefix_tokens:
        np.testing.assert_allclose(result.sum((1, 2)), 1, atol=1e-5)


def test_readout_sums_to_one(model):
    tokens = interpret.feature_extractor(model, -1)(images())
    weights = readout(model, tokens)
    assert weights.shape == tuple(tokens.shape[:2]) and weights.min() >= 0
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_distance_lies_within_the_image(model):
    result = interpret.attention_distance(model, images())
    assert result.shape == (3, 2) and result.dtype == np.float32
    assert (result > 0).all() and (result < np.hypot(8, 12)).all()


def test_rollout_and_distance_equal_their_plain_forms():
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


def test_attention_pooling_is_read_at_what_the_probe_looks_at():
    model, x = make(class_token=False, pooling="map"), images()
    walk = AttentionWalk(model, x)
    maps = list(walk)
    pooling = model.get_layer("pooling")
    _, probe = pooling(model.get_layer("encoder_norm")(walk.tokens), return_attention=True)
    expected = interpret.rollout(
        maps, 0, (2, 3), readout=ops.convert_to_numpy(probe)[:, :, 0].mean(1)
    )
    np.testing.assert_allclose(interpret.attention_rollout(model, x), expected, rtol=1e-5)
    assert np.abs(expected - interpret.rollout(maps, 0, (2, 3))).max() > 1e-3


def test_mean_pooling_is_read_at_the_patches_though_there_is_a_class_token():
    model, x = make(pooling="gap"), images()
    expected = interpret.rollout(
        interpret.attention_maps(model, x), 1, (2, 3), readout=np.array([0, *6 * [1 / 6]])
    )
    np.testing.assert_allclose(interpret.attention_rollout(model, x), expected, rtol=1e-5)


def test_a_hybrid_measures_in_pixels_of_the_image():
    model = make(**KINDS["hybrid"])
    maps = interpret.attention_maps(model, images())
    expected = interpret.mean_attention_distance(maps, 1, (2, 3), 4)
    np.testing.assert_allclose(interpret.attention_distance(model, images()), expected, rtol=1e-5)


def test_an_any_size_model_takes_the_grid_of_the_images():
    model = make(dynamic_image_size=True)
    assert interpret.attention_rollout(model, images(1, 16, 8)).shape == (1, 4, 2)


def test_chosen_blocks_come_in_the_order_asked():
    model = make()
    every = interpret.attention_maps(model, images())
    last, first = interpret.attention_maps(model, images(), blocks=[-1, 0])
    np.testing.assert_array_equal(last, every[2])
    np.testing.assert_array_equal(first, every[0])


def test_batches_do_not_change_the_result():
    model, x = make(class_token=False, pooling="map"), images(5)
    for measure in (interpret.attention_rollout, interpret.attention_distance):
        np.testing.assert_allclose(measure(model, x, batch_size=2), measure(model, x), rtol=1e-4)


def test_mixed_precision_gives_float32():
    model = make(dtype="mixed_bfloat16")
    exact = interpret.attention_rollout(make(), images())
    result = interpret.attention_rollout(model, images())
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, exact, atol=0.02)


@pytest.mark.parametrize(
    "measure",
    [interpret.attention_rollout, interpret.attention_distance],
    ids=["rollout", "distance"],
)
def test_one_map_is_held_at_a_time(measure, monkeypatch):
    alive = []
    to_array = attention_module.to_array

    def recorded(tensor):
        assert not any(reference() is not None for reference in alive)
        array = to_array(tensor).copy()
        alive.append(weakref.ref(array))
        return array

    monkeypatch.setattr(attention_module, "to_array", recorded)
    measure(make(), images())
    assert len(alive) == 3


def test_the_fast_path_never_asks_for_maps(monkeypatch):
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
        ({"images": images(height=12)}, r"\(batch, 8, 12, 3\).*Received: shape \(2, 12, 12, 3\)"),
        ({"images": images()[0]}, r"Received: shape \(8, 12, 3\)"),
        ({"images": images(0)}, "at least one"),
        ({"head_fusion": "sum"}, "`head_fusion`"),
        ({"discard_ratio": 2}, "`discard_ratio`"),
        ({"batch_size": 0}, "`batch_size` to be at least 1. Received: 0"),
        ({"model": keras.Sequential()}, "VisionTransformer. Received: Sequential"),
    ],
)
def test_errors_say_what_was_expected(changes, message):
    arguments = {"model": make(), "images": images()}
    with pytest.raises(ValueError, match=message):
        interpret.attention_rollout(**{**arguments, **changes})


def test_a_wrapped_model_is_pointed_out():
    inner = make()
    outer = keras.Sequential([keras.Input((8, 12, 3)), inner])
    with pytest.raises(ValueError, match=f"get_layer.'{inner.name}'."):
        interpret.attention_rollout(outer, images())


@pytest.mark.parametrize("blocks", [[3], [-4], []])
def test_unknown_blocks_are_an_error(blocks):
    with pytest.raises(ValueError, match="block numbers from 0 to 2"):
        interpret.attention_maps(make(), images(), blocks=blocks)


def test_sizes_off_the_patch_grid_are_an_error():
    with pytest.raises(ValueError, match="divisible by 4 pixels"):
        interpret.attention_rollout(make(dynamic_image_size=True), images(1, 10, 8))
