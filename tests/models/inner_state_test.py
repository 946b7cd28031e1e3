"""What is set on layers after a model was made outlives saving, copying and building on it."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.layers.inner_state import get_inner_state, inner_layers

TINY = VisionTransformerConfig(
    image_size=8, patch_size=4, hidden_size=8, num_layers=2, num_heads=2, mlp_dim=12,
    num_classes=3, pooling="map",
)  # fmt: skip
IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


def freeze(model):
    model.freeze("embedding", blocks=[0])
    model.blocks[1].attention.qkv.trainable = False
    model.blocks[0].mlp.trainable = True


def add_lora(model):
    for block in model.blocks:
        block.attention.qkv.enable_lora(2, lora_alpha=6)
        block.attention.qkv.lora_kernel_b.assign(ops.ones((2, 24)))


def half(model):
    model.blocks[1].mlp.hidden.dtype_policy = "mixed_bfloat16"


SETTINGS = {
    "frozen": freeze,
    "frozen whole": lambda model: setattr(model, "trainable", False),
    "int8": lambda model: model.quantize("int8"),
    "int4": lambda model: model.quantize("int4"),
    "half": half,
    "lora": add_lora,
    "lora on int8": lambda model: (model.quantize("int8"), add_lora(model)),
}


def make(setting):
    model = VisionTransformer(TINY, name="tiny")
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.3)
    SETTINGS[setting](model)
    return model


def as_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras", safe_mode=True)


COPIES = {
    "saved": saved,
    "saved twice": lambda model, folder: saved(saved(model, folder), folder),
    "pickled": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "copied": lambda model, folder: copy.deepcopy(model),
    "built upon": lambda model, folder: saved(keras.Model(model.input, model.output), folder),
    "nested": lambda model, folder: saved(keras.Sequential([model]), folder),
}


# Quantised layers take JAX half a minute a model, which it compiles operation by operation.
ELSEWHERE = [] if keras.backend.backend() == "jax" else [
    ("lora on int8", "saved"), ("int8", "built upon"), ("int4", "nested"),
]  # fmt: skip


def trained(model):
    return [(variable.name, tuple(variable.shape)) for variable in model.trainable_variables]


@pytest.mark.few(4)
@pytest.mark.parametrize(
    "setting, way",
    [*((setting, "saved") for setting in SETTINGS if setting != "lora on int8"),
     *(("frozen", way) for way in COPIES), ("lora", "built upon"), ("half", "pickled"),
     *ELSEWHERE],
)  # fmt: skip
def test_what_is_set_on_layers_outlives(setting, way, tmp_path):
    model = make(setting)
    expected = as_numpy(model(IMAGES))
    twin = COPIES[way](model, tmp_path)
    np.testing.assert_allclose(as_numpy(twin(IMAGES)), expected, atol=1e-6)
    if way != "built upon" or setting != "frozen whole":  # the new model itself is trained
        assert trained(twin) == trained(model)
    modes = [layer.quantization_mode for _, layer in inner_layers(model)]
    inner = twin.layers[0] if way == "nested" else twin
    assert [layer.quantization_mode for _, layer in inner_layers(inner)] == modes
    if way != "built upon":
        states = [json.dumps(get_inner_state(one), sort_keys=True) for one in (inner, model)]
        assert states[0] == states[1]


def test_nothing_set_leaves_nothing_in_the_config():
    model = VisionTransformer(TINY, dtype="mixed_bfloat16")
    assert "inner_state" not in model.get_config()
    assert "inner_state" not in model.blocks[0].get_config()


def test_a_config_of_other_layers_is_refused():
    config = VisionTransformer(TINY).get_config()
    with pytest.raises(ValueError, match="layers inside.*encoder_block_7"):
        VisionTransformer.from_config({**config, "inner_state": {"encoder_block_7": {}}})


def test_the_constructor_freezes_the_layers():
    model = VisionTransformer(TINY, trainable=False)
    assert not model.trainable_variables
    assert not any(layer.trainable for _, layer in inner_layers(model))


def test_hdf5_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="ends in `.keras`.*save_weights"):
        VisionTransformer(TINY).save(tmp_path / "model.h5")


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["frozen", "lora"])
def test_training_goes_on_as_if_it_was_never_saved(setting, tmp_path):
    model = make(setting)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    labels = np.array([0, 1, 2, 0])
    model.train_on_batch(IMAGES, labels)
    twin = saved(model, tmp_path)
    for one, other in zip(model.optimizer.variables, twin.optimizer.variables, strict=True):
        np.testing.assert_array_equal(as_numpy(one), as_numpy(other))
    losses = [as_numpy(m.train_on_batch(IMAGES, labels)) for m in (model, twin)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    np.testing.assert_allclose(as_numpy(twin(IMAGES)), as_numpy(model(IMAGES)), atol=1e-6)
