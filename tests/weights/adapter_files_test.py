"""Adapters of PEFT compute what they do there, come back as they were, and are refused by name.

`tests/fixtures/peft/make.py` wrote them, and reads what is written here.
"""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.models.adapters import Adapter
from keras_vit.weights.adapter_files import load_adapter, pack, save_adapter, unpack
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.download import cached_path
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.files.peft_folder import CONFIG, WEIGHTS, Module
from keras_vit.weights.files.safetensors import SafetensorsFile, write_safetensors
from keras_vit.weights.layouts import layout_for
from keras_vit.weights.save import save_checkpoint

PEFT = pathlib.Path(__file__).parents[1] / "fixtures" / "peft"
CASES = {
    "timm_vit": "timm/vit",
    "transformers_vit": "hf/vit_classifier",
    "transformers_dinov2": "hf/dinov2_classifier",
}
every_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture
def base(golden):
    """Returns a function: the name of a case to its model and images."""

    def make(name):
        case = golden(CASES[name])
        return from_checkpoint(case.source, **case.arguments), case.expected()["images"]

    return make


@pytest.fixture(scope="module")
def unchanged():
    """A model of timm, and its weights."""
    folder = PEFT.parent / "golden" / "timm" / "vit"
    model = from_checkpoint(folder / "model.safetensors", num_heads=2)
    return model, model.get_weights()


def logits(model, images):
    return np.asarray(keras.ops.convert_to_numpy(model.head(model.pool(model.encode(images)))))


def arrays_in(folder):
    file = SafetensorsFile(folder / WEIGHTS)
    return {name: file.read(name) for name in file.specs}


def test_an_adapter_of_an_address_is_that_in_the_cache(base, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path))
    model, images = base("timm_vit")
    address = "hf://owner/adapter"
    shutil.copytree(PEFT / "timm_vit", cached_path(f"{address}/{WEIGHTS}").parent)
    assert load_adapter(model, address).loaded
    found = logits(model, images)
    load_adapter(model, PEFT / "timm_vit")
    np.testing.assert_array_equal(logits(model, images), found)


@every_case
def test_it_computes_what_peft_does_and_comes_back_as_it_was(name, base, tmp_path):
    model, images = base(name)
    with np.load(PEFT / name / "expected.npz") as expected:
        wanted = expected["logits"]
    assert np.abs(logits(model, images) - wanted).max() > 0.1
    report = load_adapter(model, PEFT / name)
    np.testing.assert_allclose(logits(model, images), wanted, atol=2e-5)
    assert report.loaded[-2:] == ("head/kernel", "head/bias")

    save_adapter(model, tmp_path)  # for the library that the model is from
    theirs, ours = arrays_in(PEFT / name), arrays_in(tmp_path)
    assert ours.keys() == theirs.keys()
    again, _ = base(name)
    load_adapter(again, tmp_path)
    np.testing.assert_allclose(logits(again, images), wanted, atol=2e-5)
    if name != "transformers_vit":  # there parts of several scales are brought to one
        for each in theirs:
            np.testing.assert_array_equal(ours[each], theirs[each], err_msg=each)
        written, read = (
            json.loads((folder / CONFIG).read_text()) for folder in (PEFT / name, tmp_path)
        )
        for field in ("peft_type", "r", "lora_alpha", "rank_pattern", "bias", "modules_to_save"):
            assert written[field] == read[field], field


@pytest.mark.parametrize(
    "layout, part",
    [
        ("timm", "blocks.0.attn.qkv"),
        ("transformers", "encoder.layer.0.attention.k_proj"),
        (None, "encoder.layer.0.attention.k_proj"),
    ],
)
def test_an_adapter_is_written_for_either_library(layout, part, golden, tmp_path):
    model, again = (from_checkpoint(golden("hf/dinov2").source) for _ in range(2))
    model.enable_lora(2, "qkv,output,mlp", alpha=3)
    for name, one in model.adapters.items():
        b = np.random.default_rng(0).normal(size=one.b.shape)
        model.set_adapters({**model.adapters, name: Adapter(one.a, b, one.alpha)})
    if layout is None:  # which library it is from outlives saving
        copy = type(model).from_config(model.get_config())
        copy.set_weights(model.get_weights())
        model = copy
    save_adapter(model, tmp_path, layout)
    assert f"base_model.model.{part}.lora_B.weight" in arrays_in(tmp_path)
    load_adapter(again, tmp_path)
    for name, one in model.adapters.items():
        other = again.adapters[name]
        added = other.a @ other.b * (other.alpha / other.rank)
        np.testing.assert_allclose(added, one.a @ one.b * 1.5, atol=1e-6)


def test_parts_of_a_packed_kernel_add_what_they_did_apart():
    generator = np.random.default_rng(0)
    parts = {
        index: Module(generator.normal(size=(rank, 5)), generator.normal(size=(4, rank)), scale)
        for index, rank, scale in ((0, 2, 0.5), (2, 3, 2.0))
    }
    whole = pack(parts, 3)
    added = whole.alpha / whole.rank * whole.a @ whole.b
    for index, columns in enumerate(np.split(added, 3, axis=1)):
        part = parts.get(index)
        expected = 0 if part is None else part.scale * (part.b @ part.a).T
        np.testing.assert_allclose(columns, expected, atol=1e-6)
    ranks = [part and len(part.a) for part in unpack(whole, 3)]
    assert ranks == [2, None, 3]
    untrained = Adapter(whole.a, np.zeros_like(whole.b), 1.0)
    assert [len(part.a) for part in unpack(untrained, 3)] == [5, 5, 5]


def changed(folder, config=(), arrays=None):
    """A copy of the adapter for timm with other fields, and arrays made of its own."""
    shutil.copytree(PEFT / "timm_vit", folder)
    fields = json.loads((folder / CONFIG).read_text()) | dict(config)
    (folder / CONFIG).write_text(json.dumps(fields))
    if arrays is not None:
        found = arrays_in(folder)
        write_safetensors(folder / WEIGHTS, {**found, **arrays(found)})
    return folder


QKV = "base_model.model.blocks.0.attn.qkv"
HEAD = "base_model.model.head"


@pytest.mark.parametrize(
    "config, arrays, message",
    [
        ({"use_dora": True}, None, "use_dora=True"),
        ({"bias": "all"}, None, "bias='all'"),
        ({"peft_type": "LOHA"}, None, "peft_type='LOHA'"),
        ({"init_lora_weights": "pissa"}, None, "init_lora_weights='pissa'"),
        ({"layer_replication": [[0, 2]]}, None, "layer_replication"),
        ({"unheard_of": True}, None, "unheard_of=True"),
        ({}, lambda a: {f"{QKV}.lora_magnitude_vector": np.ones(3, "f4")}, "magnitude"),
        ({}, lambda a: {f"{QKV}.lora_A.weight": np.ones((2, 16), "f4")}, "blocks.0.attn.qkv"),
        (
            {},
            lambda a: {f"{QKV}.lora_B.weight": np.ones((47, 3), "f4")},
            "nothing was changed:\n  blocks.0.attn.qkv of 16 inputs and 47 outputs",
        ),
        (
            {},
            lambda a: {
                f"base_model.model.blocks.9.attn.proj.lora_{x}.weight": np.ones(shape, "f4")
                for x, shape in (("A", (1, 16)), ("B", (16, 1)))
            },
            "blocks.9.attn.proj of 16",
        ),
        (
            {},
            lambda a: {
                f"base_model.model.patch_embed.other.lora_{x}.weight": np.ones(shape, "f4")
                for x, shape in (("A", (1, 16)), ("B", (16, 1)))
            },
            "Received: patch_embed.other",
        ),
        ({}, lambda a: {f"{HEAD}.bias": np.ones(9, "f4")}, "head of this model.*'head/bias': .9"),
        ({}, lambda a: {"base_model.model.norm.weight": np.ones(16, "f4")}, "norm.weight"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_changes_nothing(
    config, arrays, message, unchanged, tmp_path
):
    model, before = unchanged
    with pytest.raises(ValueError, match=message):
        load_adapter(model, changed(tmp_path / "other", config, arrays))
    assert not model.adapters
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_missing_files_and_adapters_are_named(base, tmp_path):
    model, _ = base("timm_vit")
    with pytest.raises(FileNotFoundError, match=CONFIG):
        load_adapter(model, tmp_path)
    with pytest.raises(ValueError, match="enable_lora"):
        save_adapter(model, tmp_path)
    load_adapter(model, PEFT / "timm_vit")
    with pytest.raises(ValueError, match="layout='google'"):
        save_adapter(model, tmp_path, "google")
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_head_leaves_that_of_the_file_out(golden):
    model = from_checkpoint(golden("timm/vit").source, num_heads=2, include_top=False)
    report = load_adapter(model, PEFT / "timm_vit")
    assert report.left_out == ("head.bias", "head.weight") or report.left_out == (
        "head.weight", "head.bias",
    )  # fmt: skip
    assert len(model.adapters) == 8


@pytest.mark.parametrize("file", ["saved.safetensors", "saved.keras"])
def test_a_checkpoint_of_an_adapted_model_has_it_merged(file, base, tmp_path):
    model, images = base("timm_vit")
    load_adapter(model, PEFT / "timm_vit")
    if file.endswith(".keras"):
        model.save(tmp_path / file)
    else:
        save_checkpoint(model, tmp_path / file, "timm")
    plain = from_checkpoint(tmp_path / file)
    assert not plain.adapters
    np.testing.assert_allclose(logits(plain, images), logits(model, images), atol=2e-5)
    before = model.adapters["encoder_block_0/attention/qkv"].b
    load_adapter(model, PEFT / "timm_vit")
    np.testing.assert_array_equal(model.adapters["encoder_block_0/attention/qkv"].b, before)


@pytest.mark.parametrize(
    "folder, names",
    [
        ("golden/hf/deit_distilled", "deit.layers.0.attention.q_proj deit.layers.0.mlp.fc2"),
        ("golden/hf/dinov2_swiglu", "encoder.layer.0.attention.q_proj "
         "encoder.layer.0.mlp.down_proj"),
        ("golden/hf/siglip_vision", "encoder.layers.0.self_attn.q_proj encoder.layers.0.mlp.fc2"),
        ("zoo/transformers_clip_classifier", "vision_model.encoder.layers.0.self_attn.q_proj "
         "vision_model.encoder.layers.0.mlp.fc2"),
        ("zoo/transformers_dinov3", "model.layer.0.attention.q_proj model.layer.0.mlp.down_proj"),
        ("zoo/transformers_beit", "beit.layers.0.attention.q_proj beit.layers.0.mlp.fc2"),
        ("zoo/transformers_pixio", "layers.0.attention.q_proj layers.0.mlp.fc2"),
    ],
)  # fmt: skip
def test_modules_have_the_names_of_transformers_5(folder, names):
    """As `named_modules` of its models prints them (5.24)."""
    config = infer_config(bind(open_checkpoint(PEFT.parent / folder)))
    layout = layout_for("huggingface", config)
    layers = ("encoder_block_0/attention/qkv", "encoder_block_0/mlp/output")
    assert [layout.modules(layer, config)[0] for layer in layers] == names.split()
