"""Tiny models as timm and transformers save them, loaded without any hint: the same numbers.

Each folder of `tests/fixtures/zoo` is what the library writes, and in `io.npz` what it computes.
"""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer
from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.files.safetensors import write_safetensors
from keras_vit.weights.load import load_weights, open_source
from keras_vit.weights.save import save_checkpoint

ZOO = pathlib.Path(__file__).parents[1] / "fixtures" / "zoo"
CASES = sorted(path.parent for path in ZOO.glob("*/io.npz"))
_differences = {}
DERIVED = sorted(path.parent for path in ZOO.glob("*/gradients"))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.filterwarnings("error::UserWarning")
def test_computes_what_the_library_computes(folder):
    with np.load(folder / "io.npz") as arrays:
        images, expected = arrays["images"], arrays["output"]
    model = from_checkpoint(folder, classifier_activation=None)
    output, scale = keras.ops.convert_to_numpy(model(images)), np.abs(expected).max()
    _differences[folder.name] = np.abs(output - expected).max() / scale
    np.testing.assert_allclose(output, expected, atol=1e-4 * scale)


def test_prints_the_largest_difference(capsys):
    if not _differences:
        pytest.skip("no model of the zoo ran")
    worst = max(_differences, key=_differences.get)
    with capsys.disabled():
        print(f"\nzoo on {keras.backend.backend()}: {_differences[worst]:.1e} at most, {worst}")
    assert _differences[worst] < 1e-4


@pytest.mark.few(2)
@pytest.mark.parametrize("folder", DERIVED, ids=lambda folder: folder.name)
def test_has_the_gradients_that_the_library_has(folder, gradients):
    """They stand under the names of the weights, so that the layout reads them alike."""
    with np.load(folder / "io.npz") as arrays:
        images = arrays["images"]
    model = from_checkpoint(folder, classifier_activation=None)
    paths = [variable.path for variable in model.trainable_variables]
    found = dict(zip(paths, gradients(model, [images]), strict=True))
    expected = dict(open_source(folder / "gradients").arrays(set(canonical_variables(model))))
    assert len(expected) >= len(found)
    for name, variable in canonical_variables(model).items():
        scale = max(1e-3, np.abs(expected[name]).max())
        gradient = np.array(keras.ops.convert_to_numpy(found[variable.path]))
        keys = slice(len(gradient) // 3, len(gradient) // 3 * 2)
        if name.endswith("qkv/bias") and not expected[name][keys].any():
            gradient[keys] = 0  # the library has no bias of the keys
        np.testing.assert_allclose(gradient, expected[name], atol=1e-4 * scale, err_msg=name)


@pytest.mark.few(1)
@pytest.mark.parametrize("folder", DERIVED, ids=lambda folder: folder.name)
def test_a_bias_that_the_library_has_not_stays_zero_in_training(folder):
    model = from_checkpoint(folder)
    model.compile("adam", "mse")
    with np.load(folder / "io.npz") as arrays:
        images = arrays["images"]
    model.train_on_batch(images, np.zeros((len(images), 3)))
    for block in model.blocks:
        if not model.config.key_bias:
            query, key, value = np.split(keras.ops.convert_to_numpy(block.attention.qkv.bias), 3)
            assert query.any() and value.any() and not key.any()


def test_biases_of_the_keys_are_not_lost_in_training_without_a_word(tmp_path):
    model = from_checkpoint(ZOO / "timm_rope_mixed")
    for block in model.blocks:
        block.attention.qkv.bias.assign(keras.ops.ones(block.attention.qkv.bias.shape))
    path = save_checkpoint(model, tmp_path / "model.safetensors", "timm")
    other = VisionTransformer(model.config.replace(key_bias=False))
    before = [keras.ops.convert_to_numpy(weight) for weight in other.weights]
    with pytest.raises(ValueError, match=r"biases of 0 for the keys.*from_checkpoint"):
        load_weights(other, path)
    for weight, value in zip(other.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


def test_biases_of_the_keys_are_told_apart():
    without = {folder.name for folder in DERIVED if not from_checkpoint(folder).config.key_bias}
    assert without == {"timm_beit", "timm_dinov3_gated", "timm_eva02"}


def test_a_table_of_distances_is_resized_as_the_library_does():
    with np.load(ZOO / "timm_beit" / "resized.npz") as arrays:
        images, expected = arrays["images"], arrays["output"]
    shape = images.shape[1:]
    model = from_checkpoint(ZOO / "timm_beit", input_shape=shape, classifier_activation=None)
    output = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(output, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("drawn", [{"shift": 0.25, "jitter": 1.5}, {"rescale": 3.0}])
@pytest.mark.parametrize(
    ("library", "layout", "key"),
    [("transformers", "huggingface", "pos_embed_{}"), ("timm", "timm", "rope_{}_coords")],
)
def test_the_jitter_of_coordinates_is_read_and_written(library, layout, key, drawn, tmp_path):
    model = from_checkpoint(ZOO / f"{library}_dinov3_gated", classifier_activation=None)
    assert model.config.rotary.rescale == (2.0 if library == "transformers" else None)
    rotary = {"base": 100.0, "scale": "centred", **drawn}
    jittered = type(model)(model.config.replace(rotary=rotary))
    jittered.set_weights(model.get_weights())
    save_checkpoint(jittered, tmp_path / "model.safetensors", layout)
    stored = json.loads((tmp_path / "config.json").read_text())
    stored = stored.get("model_args", stored)
    assert {name: stored[key.format(name)] for name in drawn} == drawn
    found = infer_config(open_source(tmp_path / "model.safetensors"))
    assert found.rotary == jittered.config.rotary


def test_dinov3_is_read_as_its_authors_name_it(tmp_path):
    with np.load(ZOO / "timm_dinov3_gated" / "io.npz") as arrays:
        images, expected = arrays["images"], arrays["output"]
    file = open_checkpoint(ZOO / "timm_dinov3_gated" / "model.safetensors")
    arrays = {name: np.array(file.read(name)) for name in file.specs}
    query, value = (arrays.pop(f"blocks.0.attn.{part}_bias") for part in "qv")
    key = np.ones_like(query)  # masked
    arrays["blocks.0.attn.qkv.bias"] = np.concatenate([query, key, value])
    arrays["blocks.0.attn.qkv.bias_mask"] = np.concatenate([key, 0 * key, key])
    arrays["rope_embed.periods"] = np.ones(3, "float32")
    renamed = {
        "reg_token": "storage_tokens", ".gamma_1": ".ls1.gamma", ".gamma_2": ".ls2.gamma",
        ".fc1_g": ".w1", ".fc1_x": ".w2", ".fc2": ".w3",
    }  # fmt: skip
    for old, new in renamed.items():
        arrays = {name.replace(old, new): array for name, array in arrays.items()}
    write_safetensors(tmp_path / "model.safetensors", arrays)
    model = from_checkpoint(tmp_path, num_heads=2, pooling="gap", input_shape=images.shape[1:])
    assert not model.config.key_bias
    logits = keras.ops.convert_to_numpy(model.head(model.pool(model.encode(images))))
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
