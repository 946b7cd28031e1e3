"""What is loaded from files of a library goes back into them: names, arrays, config."""

import pathlib

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer
from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.layouts import layout_for
from keras_vit.weights.load import open_source
from keras_vit.weights.save import save_checkpoint

ZOO = pathlib.Path(__file__).parents[1] / "fixtures" / "zoo"
# transformers' families that are written as themselves, and those that are as another which
# computes the same.
OWN = (
    "aimv2", "beit", "beit_absolute", "beit_shared", "clip_classifier", "dinov3", "dinov3_gated",
    "ijepa_classifier", "internvl", "internvl_qk_norm", "pixio", "pooler_relu", "relu",
    "siglip_classifier", "tips",
)  # fmt: skip
AS_ANOTHER = {"blip": "vit", "msn": "vit", "siglip2_naflex": "siglip_vision_model"}
# What a class of transformers writes whatever the model is, and what it has its own name for.
_OTHER = {"layer_scale_init_value", "architectures", "projection_dim", "image_size", "patch_size"}
TIMM = sorted(
    path.parent.name.removeprefix("timm_")
    for path in ZOO.glob("timm_*/io.npz")
    if "naflex" not in path.parent.name
)


def _check_round_trip(model, written, own=()):
    """The config and every array come back; returns what was read."""
    bound = open_source(written)
    found = infer_config(bound)
    assert found == model.config.replace(**{name: getattr(found, name) for name in own})
    variables = canonical_variables(model)
    assert bound.shapes.keys() == variables.keys()
    for path, array in bound.arrays(set(variables)):
        value = keras.ops.convert_to_numpy(variables[path])
        np.testing.assert_array_equal(array, value, path)
    return bound


@pytest.mark.parametrize("name", OWN)
def test_is_saved_as_the_library_had_it(name, tmp_path):
    folder = ZOO / f"transformers_{name}"
    model = from_checkpoint(folder)
    _check_round_trip(model, save_checkpoint(model, tmp_path, "huggingface"))
    stored, written = open_checkpoint(folder), open_checkpoint(tmp_path)
    unread = ("mask_token", "post_layernorm") if "clip" in name else ("mask_token",)
    assert written.specs.keys() ^ stored.specs.keys() <= {"embeddings.mask_token"}
    for array in written.specs:
        assert written.specs[array] == stored.specs[array]
        if not any(part in array for part in unread):
            np.testing.assert_array_equal(written.read(array), stored.read(array), array)
    ours, theirs = (f.config.get("vision_config", f.config) for f in (written, stored))
    same = (ours.keys() & theirs.keys()) - _OTHER
    assert len(same) >= 8
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}


@pytest.mark.parametrize("name", AS_ANOTHER)
def test_is_saved_as_a_family_that_computes_the_same(name, tmp_path):
    model = from_checkpoint(ZOO / f"transformers_{name}")
    written = save_checkpoint(model, tmp_path, "huggingface")
    own = ("position_embedding_interpolation", "pooling")
    bound = _check_round_trip(model, written, own)
    assert bound.file.config["model_type"] == AS_ANOTHER[name]


@pytest.mark.parametrize("name", TIMM)
def test_a_model_of_timm_comes_back_from_its_layout(name, tmp_path):
    model = from_checkpoint(ZOO / f"timm_{name}")
    written = save_checkpoint(model, tmp_path / "model.safetensors", "timm")
    bound = _check_round_trip(model, written)
    stored = open_checkpoint(ZOO / f"timm_{name}").specs
    new = {key for key in bound.file.specs.keys() - stored.keys() if ".attn." not in key}
    assert all(".fc1." in key for key in new)  # EVA may have gates and queries apart


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "gap", "pooling_includes_prefix_tokens": False, "pooling_num_heads": None,
         "pooling_mlp_dim": None},
        {"rotary": None, "key_bias": False, "pooling": "token", "pooling_num_heads": None,
         "pooling_includes_prefix_tokens": False, "pooling_mlp_dim": None},
    ],
    ids=["Perception Encoder without its pooling", "EVA without rotary positions"],
)  # fmt: skip
def test_a_relative_of_a_published_model_comes_back(changes, tmp_path):
    model = VisionTransformer(from_checkpoint(ZOO / "timm_perception").config.replace(**changes))
    written = save_checkpoint(model, tmp_path / "model.safetensors", "timm")
    bound = _check_round_trip(model, written)
    assert ("blocks.0.attn.q_bias" in bound.file.specs) != model.config.key_bias


def test_timm_has_a_projection_as_a_head_without_bias(tmp_path):
    config = from_checkpoint(ZOO / "timm_perception").config
    model = VisionTransformer(config.replace(num_classes=0, projection_size=5))
    written = save_checkpoint(model, tmp_path / "model.safetensors", "timm")
    bound = _check_round_trip(model, written)
    assert bound.file.config["model_args"]["num_classes"] == 5
    assert bound.file.specs["head.weight"].shape == (5, 16)
    assert not bound.file.read("head.bias").any()


def test_a_head_with_a_bias_is_no_projection(tmp_path):
    model = from_checkpoint(ZOO / "timm_perception")
    save_checkpoint(model, tmp_path / "model.safetensors", "timm")
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("{", '{"projection_size": 3,', 1))
    with pytest.raises(ValueError, match=r"zeros in head.bias.*Without projection_size"):
        from_checkpoint(tmp_path)


@pytest.mark.parametrize(("layout", "why"), [("open_clip", "text tower"), ("keras-hub", "preset")])
def test_a_layout_that_is_only_read_says_why(layout, why, tmp_path):
    model = from_checkpoint(ZOO / "transformers_relu")
    with pytest.raises(ValueError, match=f"{layout}.*read and not written: .*{why}"):
        save_checkpoint(model, tmp_path / "x", layout)


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("aimv2", {"norm": "layer"}, "norm"),
        ("aimv2", {"attention_output_bias": True}, "attention_output_bias"),
        ("pixio", {"pooling": "gap"}, "pooling"),
        ("pixio", {"mlp_dim": 24}, "mlp_dim"),
        ("internvl", {"pooling": "token"}, "pooling"),
        ("internvl_qk_norm", {"layer_norm_epsilon": 1e-5}, "qk_norm"),
        ("internvl_qk_norm", {"final_norm": "tokens"}, "final_norm"),
        ("clip_classifier", {"pooling": "token"}, "pooling"),
        ("clip_classifier", {"final_norm": "tokens"}, "final_norm"),
        ("clip_classifier", {"pooling_includes_prefix_tokens": True}, "pooling_includes_prefix"),
        ("siglip_classifier", {"pooling": "map"}, "pooling"),
        ("ijepa_classifier", {"pooling": "max"}, "pooling"),
        ("beit", {"pooling_includes_prefix_tokens": True}, "pooling_includes_prefix_tokens"),
        ("tips", {"patch_norm": True}, "norm"),
    ],
)
def test_what_a_family_has_no_place_for_is_named(name, changes, field):
    config = infer_config(open_source(ZOO / f"transformers_{name}")).replace(**changes)
    found = layout_for("huggingface", config).obstacles(config)
    assert any(line.startswith(field) for line in found), found
