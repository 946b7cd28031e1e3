"""Adapters change nothing at first, are all that trains beside the head, and come off again."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.layers.dense import Dense
from keras_vit.models.adapters import Adapter

TINY = VisionTransformerConfig(
    image_size=8, patch_size=4, hidden_size=8, num_layers=2, num_heads=2, mlp_dim=12,
    num_classes=3, layer_scale=True,
)  # fmt: skip
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(4, 8, 8, 3)).astype("float32")


def make(**fields):
    model = VisionTransformer(TINY.replace(**fields), name="tiny")
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model


def drawn(model, seed):
    """Other adapters of the places and ranks that a model has."""
    generator = np.random.default_rng(seed)
    return {
        name: Adapter(*(generator.normal(size=x.shape) for x in (one.a, one.b)), one.alpha)
        for name, one in model.adapters.items()
    }


def outputs(model):
    return np.asarray(ops.convert_to_numpy(model(IMAGES)))


def trained(model):
    return [variable.path.partition("/")[2] for variable in model.trainable_variables]


def kernels(*places):
    return [f"{place}/lora_kernel_{letter}" for place in places for letter in "ab"]


@pytest.mark.parametrize(
    "targets, places",
    [
        (("qkv", "output"), ("attention/qkv", "attention/output")),
        ("qkv", ("attention/qkv",)),
        ("qkv, mlp", ("attention/qkv", "mlp/hidden", "mlp/output")),
    ],
)
def test_adapters_and_head_alone_train_and_change_nothing_yet(targets, places):
    model = make(pooling="map", mlp="swiglu", gelu=None)
    before = outputs(model)
    model.enable_lora(2, targets)
    np.testing.assert_array_equal(outputs(model), before)
    wanted = [path for block in model.blocks for path in kernels(*places)]
    assert trained(model) == [*wanted, "kernel", "bias"]
    assert {variable.path.split("/")[0] for variable in model.trainable_variables} == {
        "encoder_block_0", "encoder_block_1", "head",
    }  # fmt: skip
    groups = {group.name: len(group.variables) for group in model.parameter_groups()}
    per_block = 2 * len(places)
    assert groups == {"embedding": 0, "block_0": per_block, "block_1": per_block, "head": 2}


def test_a_step_leaves_all_else_as_it_was():
    model = make()
    model.enable_lora(2, alpha=4)
    names = {variable.path for variable in model.trainable_variables}
    before = {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}
    model.compile(keras.optimizers.Adam(0.1, weight_decay=0.1), "sparse_categorical_crossentropy")
    model.train_on_batch(IMAGES, np.array([0, 1, 2, 0]))
    for weight in model.weights:
        moved = np.abs(ops.convert_to_numpy(weight) - before[weight.path]).max() > 1e-3
        assert moved == (weight.path in names), weight.path


def test_a_layer_computes_what_that_of_keras_does():
    ours, theirs = Dense(5), keras.layers.Dense(5)
    for layer in (ours, theirs):
        layer.build((None, 4))
        layer.enable_lora(3, lora_alpha=2.0)
    theirs.set_weights([GENERATOR.normal(size=weight.shape) for weight in theirs.weights])
    for name in ("bias", "lora_kernel_a", "lora_kernel_b"):
        getattr(ours, name).assign(getattr(theirs, name))
    ours.weights[0].assign(theirs.weights[0])
    x = GENERATOR.normal(size=(6, 4)).astype("float32")
    expected = ops.convert_to_numpy(theirs(x))
    np.testing.assert_allclose(ops.convert_to_numpy(ours(x)), expected, atol=1e-6)


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_a_saved_file_keeps_them_apart(file, tmp_path):
    model = make()
    model.enable_lora(2, "qkv,mlp", alpha=6)
    model.set_adapters(drawn(model, 2))
    if file == "model.keras":
        model.save(tmp_path / file)
        twin = keras.saving.load_model(tmp_path / file, safe_mode=True)
    else:
        model.save_weights(tmp_path / file)
        twin = make()
        twin.enable_lora(2, "qkv,mlp", alpha=6)
        twin.load_weights(tmp_path / file)
    np.testing.assert_array_equal(outputs(twin), outputs(model))
    assert trained(twin) == trained(model)
    assert twin.adapters.keys() == model.adapters.keys()
    for name, one in model.adapters.items():
        assert twin.adapters[name].alpha == 6
        np.testing.assert_array_equal(twin.adapters[name].b, one.b)


def test_weights_without_adapters_load_under_fresh_ones(tmp_path):
    plain, model = make(), make()
    plain.blocks[0].attention.qkv.kernel.assign(ops.ones((8, 24)))
    plain.save_weights(tmp_path / "plain.weights.h5")
    model.enable_lora(2)
    model.set_adapters(drawn(model, 2))
    model.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_allclose(outputs(model), outputs(plain), atol=1e-6)
    assert all(one.a.any() for one in model.adapters.values())  # from zero nothing is learned


@pytest.mark.parametrize("end", ["merge_lora", "remove_lora"])
def test_without_them_it_is_a_plain_model_again(end):
    model = make()
    before, names = outputs(model), trained(model)
    model.enable_lora(2, alpha=3)
    model.set_adapters(drawn(model, 2))
    adapted = model.predict(IMAGES, verbose=0)
    assert np.abs(adapted - before).max() > 0.01
    getattr(model, end)()
    expected = adapted if end == "merge_lora" else before
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-6)
    assert (model.adapters, trained(model)) == ({}, names)
    assert "inner_state" not in model.get_config()


def test_one_backbone_switches_between_several():
    model, plain = make(), make()
    model.enable_lora(2)
    few = {"encoder_block_1/mlp/hidden": Adapter(np.ones((8, 1)), np.ones((1, 12)), 2.0)}
    sets = [drawn(model, 3), few, drawn(model, 4)]
    found = []
    for adapters in [*sets, *sets]:
        model.set_adapters(adapters)
        assert model.adapters.keys() == adapters.keys()
        found.append(model.predict(IMAGES, verbose=0))
    for first, second in zip(found[:3], found[3:], strict=True):
        np.testing.assert_array_equal(first, second)
        assert np.abs(first - outputs(plain)).max() > 0.01
    assert len(trained(model)) == len(sets[2]) * 2 + 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rank": 0}, "`rank`.*0"),
        ({"rank": 2, "alpha": 0.0}, "`alpha`"),
        ({"rank": 2, "targets": ("qkv", "head")}, r"targets.*\['qkv', 'head'\]"),
        ({"rank": 2, "targets": ()}, "targets"),
        ({"rank": 3}, "merge_lora"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    model = make()
    model.enable_lora(2)
    model.enable_lora(2)  # the same once more is no other
    with pytest.raises(ValueError, match=message):
        model.enable_lora(**arguments)


def test_without_adapters_there_is_nothing_to_merge():
    with pytest.raises(ValueError, match="enable_lora"):
        make().merge_lora()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="takes JAX half a minute")
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_adapters_learn_on_quantised_kernels_and_merge_into_them(tmp_path):
    model = make()
    model.quantize("int8", filters=lambda layer: layer.name != "head")
    model.enable_lora(2)
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    before = float(model.train_on_batch(IMAGES, np.array([0, 1, 2, 0])))
    assert float(model.train_on_batch(IMAGES, np.array([0, 1, 2, 0]))) < before
    assert all(one.b.any() for one in model.adapters.values())
    expected = outputs(model)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(twin), expected, atol=1e-6)
    twin.merge_lora()
    assert twin.blocks[0].attention.qkv.quantization_mode == "int8"
    np.testing.assert_allclose(outputs(twin), expected, atol=0.02)  # rounded anew


def test_float8_and_adapters_exclude_each_other():
    model = make()
    model.enable_lora(2)
    with pytest.raises(ValueError, match="float8.*merge_lora"):
        model.quantize("float8")
    model.merge_lora()
    model.blocks[0].mlp.hidden.quantize("float8")
    with pytest.raises(ValueError, match="under an adapter.*float8"):
        model.enable_lora(2)
    assert not model.adapters
