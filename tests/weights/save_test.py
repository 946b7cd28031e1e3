import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.images.spec import Preprocessing
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.layouts import NAMES, layout_for
from keras_vit.weights.load import load_weights
from keras_vit.weights.save import save_checkpoint

_FILES = {"google": "saved.npz", "timm": "saved.safetensors", "huggingface": "saved"}
# Of the golden cases, those that each layout has a place for.
_EXPRESSED = {"google": 19, "timm": 42, "huggingface": 33}
# What every library has its own way of, and what does not matter without a layer before the head.
_OWN = ("position_embedding_interpolation", "pre_logits_activation")
_CASES = len(list(Path(__file__).parents[1].glob("fixtures/golden/*/*/case.json")))
_round_trips = dict.fromkeys(NAMES, 0)
_tried = []


def _values(model):
    return {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in canonical_variables(model).items()
    }


def _assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.few(12)
@pytest.mark.filterwarnings("ignore:timm has no argument")
def test_load_save_load_is_bit_exact_or_names_a_field(case, tmp_path):
    _tried.append(case.name)
    model = from_checkpoint(case.source, input_shape=case.input_shape, **case.arguments)
    for layout in NAMES:
        path = tmp_path / _FILES[layout]
        missing = layout_for(layout, model.config).obstacles(model.config)
        if missing:
            with pytest.raises(ValueError, match=missing[0].split("=")[0]):
                save_checkpoint(model, path, layout)
            assert not path.exists()
            continue
        written = save_checkpoint(model, path, layout)
        again = VisionTransformer(model.config)
        report = load_weights(again, written, head="keep")
        assert (report.layout, report.resized) == (layout, ())
        _assert_same(_values(again), _values(model))
        if layout != "google":  # the config.json beside it tells all of the architecture
            found = infer_config(bind(open_checkpoint(written)))
            own = (*_OWN, "pooling") if model.config.pooling == "none" else _OWN
            assert found == model.config.replace(**{name: getattr(found, name) for name in own})
        _round_trips[layout] += 1


def test_enough_cases_went_round():
    if len(_tried) == _CASES:
        assert all(_round_trips[layout] >= _EXPRESSED[layout] for layout in NAMES), _round_trips


def test_the_same_names_come_back(case, tmp_path):
    """A file saved in its own layout has the names and shapes of the file it came from."""
    layout = {"google": "google", "big_vision": "google", "timm": "timm", "hf": "huggingface"}[
        case.name.split("/")[0]
    ]
    rewritten = ("linen_names", "opt_target", "vit_tok", "vit_scan", "v5_names", "hybrid_units")
    if any(part in case.name for part in (*rewritten, "big_vision", "_full")):
        pytest.skip("written under other names than it was read")
    model = from_checkpoint(case.source, **case.arguments)
    if layout_for(layout, model.config).obstacles(model.config):
        pytest.fail(f"{layout} cannot express its own case")
    written = open_checkpoint(save_checkpoint(model, tmp_path / _FILES[layout], layout))
    source = open_checkpoint(case.source)
    for name in ("embeddings.mask_token", "dinov2.embeddings.mask_token"):
        source.specs.pop(name, None)
        written.specs.pop(name, None)
    assert written.specs == source.specs
    for name in source.specs:
        np.testing.assert_array_equal(written.read(name), source.read(name), err_msg=name)


def test_a_saved_folder_tells_its_whole_architecture(golden, tmp_path):
    for name in ("hf/deit_distilled", "hf/dinov2_swiglu", "hf/clip_full", "hf/siglip_vision"):
        model = from_checkpoint(golden(name).source)
        folder = tmp_path / name.split("/")[1]
        save_checkpoint(model, folder, "huggingface")
        assert from_checkpoint(folder).config == model.config
        config = json.loads((folder / "config.json").read_text())
        original = json.loads((golden(name).folder / "config.json").read_text())
        original = original.get("vision_config", original)
        for key in config.keys() & original.keys() - {"projection_dim", "use_mask_token"}:
            assert config[key] == original[key], key


@pytest.mark.parametrize(
    ("layout", "name", "message"),
    [
        ("google", "x.safetensors", ".npz"),
        ("timm", "folder", ".safetensors"),
        ("torch", "x.pt", "layout"),
    ],
)
def test_paths_and_layouts_of_another_kind_are_refused(golden, tmp_path, layout, name, message):
    model = from_checkpoint(golden("google/vit_token").source)
    with pytest.raises(ValueError, match=message):
        save_checkpoint(model, tmp_path / name, layout)
    assert list(tmp_path.iterdir()) == []


def test_an_epsilon_that_timm_has_no_argument_for_is_said_and_kept(golden, tmp_path):
    model = from_checkpoint(golden("hf/ln_epsilon").source)
    with pytest.warns(UserWarning, match="layer_norm_epsilon=1e-12.*1e-06 there"):
        path = save_checkpoint(model, tmp_path / "model.safetensors", "timm")
    assert from_checkpoint(path).config.layer_norm_epsilon == 1e-12


@pytest.mark.parametrize("layout", ["timm", "huggingface"])
def test_the_config_of_another_checkpoint_is_not_replaced(golden, tmp_path, layout):
    model = from_checkpoint(golden("hf/dinov2").source)
    save_checkpoint(model, tmp_path / "a.safetensors", layout)
    save_checkpoint(model, tmp_path / "a.safetensors", layout)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="may belong to a.safetensors.*folder of its own"):
        save_checkpoint(model, tmp_path / "b.safetensors", layout)
    assert (tmp_path / "config.json").read_text() == before


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"resize": "crop", "resampling": "bicubic", "crop_fraction": 0.875},
        {"crop_fraction": 0.875, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)},
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["timm", "huggingface"])
def test_the_preparation_of_images_comes_back(golden, tmp_path, layout, changes):
    model = from_checkpoint(golden("hf/dinov2").source)
    model.preprocessing = Preprocessing(size=(28, 28), **changes)
    path = save_checkpoint(model, tmp_path / "model.safetensors", layout)
    offset = "down" if layout == "huggingface" else "half_even"
    found = from_checkpoint(path).preprocessing
    assert found.replace(mean=model.preprocessing.mean, std=model.preprocessing.std) == (
        model.preprocessing.replace(crop_offset=offset)
    )
    np.testing.assert_allclose(
        found.mean + found.std, model.preprocessing.mean + model.preprocessing.std
    )


@pytest.mark.parametrize("layout", NAMES)
def test_a_write_that_fails_leaves_the_old_file(golden, tmp_path, monkeypatch, layout):
    model = from_checkpoint(golden("google/vit_token").source)
    path = tmp_path / _FILES[layout]
    written = save_checkpoint(model, path, layout)
    with open(written, "rb") as file:
        before = file.read()
    left = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    model.get_layer("head").bias.assign(np.ones(10, "float32"))

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("keras_vit.files.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(model, path, layout)
    with open(written, "rb") as file:
        assert file.read() == before
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == left
