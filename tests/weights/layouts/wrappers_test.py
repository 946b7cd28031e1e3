"""Files in which the names of a model stand behind those of what holds it, or beside another."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.binding import bind
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.load import load_weights


@pytest.fixture
def arrays(golden):
    """Returns a function: the name of a golden case to its arrays."""

    def read(name):
        file = open_checkpoint(golden(name).source)
        return {key: file.read(key) for key in file.specs if not key.endswith("position_ids")}

    return read


@pytest.fixture
def write(tmp_path):
    """Returns a function: arrays to the path of a file of theirs."""

    def save(arrays):
        path = tmp_path / "x.safetensors"
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)
        return path

    return save


def _check(golden, name, path, **arguments):
    """Loaded from `path`, a golden case gives the numbers of its reference."""
    case = golden(name)
    model = from_checkpoint(path, classifier_activation=None, **arguments)
    expected = case.expected()
    output = np.asarray(model(expected["images"]))
    np.testing.assert_allclose(output, expected[case.description["output"]["array"]], atol=1e-4)
    return model


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "backbone.",
        "_orig_mod.",
        "timm_model.",
        "encoder.",
        "module._orig_mod.",
    ],
)
def test_wrappers_of_all_names_are_seen_through(golden, arrays, write, prefix):
    path = write({f"{prefix}{name}": a for name, a in arrays("timm/vit").items()})
    _check(golden, "timm/vit", path, num_heads=2)


def test_a_head_may_stand_beside_its_backbone(golden, arrays, write):
    path = write(
        {name if name.startswith("head.") else f"backbone.{name}": a
         for name, a in arrays("timm/vit").items()}
    )  # fmt: skip
    _check(golden, "timm/vit", path, num_heads=2)


def test_the_teacher_is_taken_and_its_student_left_out(golden, arrays, write):
    own = arrays("timm/dinov2")
    path = write(
        {f"teacher.backbone.{name}": a for name, a in own.items()}
        | {f"student.backbone.{name}": -a for name, a in own.items()}
        | {"teacher.dino_head.mlp.0.weight": np.zeros((2, 2), "float32")}
    )
    model = _check(golden, "timm/dinov2", path, num_heads=2)
    report = load_weights(VisionTransformer(model.config), path)
    assert "teacher.dino_head.mlp.0.weight" in report.left_out
    assert len(report.left_out) == len(own) + 1 + ("mask_token" in own)


def test_blocks_in_chunks_are_counted_on(golden, arrays, write):
    path = write(
        {name.replace("blocks.1.", "blocks.1.1.").replace("blocks.0.", "blocks.0.0."): a
         for name, a in arrays("timm/dinov2").items()}
    )  # fmt: skip
    _check(golden, "timm/dinov2", path, num_heads=2)


def test_the_decoder_of_a_masked_autoencoder_is_left_out_and_named(golden, arrays, write):
    decoder = {
        "decoder_pos_embed": np.zeros((1, 17, 8), "float32"),
        "decoder_blocks.0.norm1.weight": np.zeros(8, "float32"),
        "mask_token": np.zeros((1, 1, 8), "float32"),
    }
    path = write(arrays("timm/vit") | decoder)
    with pytest.raises(ValueError, match="no decoder .* pre-training, 2 arrays.*`decoder=False`"):
        from_checkpoint(path, num_heads=2)
    model = _check(golden, "timm/vit", path, num_heads=2, decoder=False)
    report = load_weights(VisionTransformer(model.config), path)
    assert set(report.left_out) == set(decoder) and "decoder: left out, 2 arrays" in report.notes


_OPEN_CLIP = {
    "vision_model.embeddings.patch_embedding": "conv1",
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.encoder.layers": "transformer.resblocks",
    "vision_model.pre_layrnorm": "ln_pre", "vision_model.post_layernorm": "ln_post",
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn": "attn", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


def _as_open_clip(arrays):
    renamed, packed = {}, {}
    for name, array in arrays.items():
        if not name.startswith(("vision_model.", "visual_projection.")):
            continue
        if name == "visual_projection.weight":
            renamed["proj"] = array.T
            continue
        for theirs, ours in _OPEN_CLIP.items():
            name = name.replace(theirs, ours)
        if "_proj." in name and "attn" in name and "out_proj" not in name:
            layer, _, part = name.partition(".attn.")
            packed.setdefault((layer, part[7:]), {})[part[0]] = array
        elif "position_ids" not in name:
            renamed[name] = array
    for (layer, part), parts in packed.items():
        renamed[f"{layer}.attn.in_proj_{part}"] = np.concatenate([parts[p] for p in "qkv"])
    return renamed


@pytest.mark.parametrize("prefix", ["visual.", "", "module.visual."])
def test_towers_of_open_clip(golden, arrays, write, prefix):
    tower = {f"{prefix}{n}": a for n, a in _as_open_clip(arrays("hf/clip_full")).items()}
    text = {} if not prefix else {
        f"{prefix.removesuffix('visual.')}{name}": np.ones((4, 4), "float32")
        for name in ("positional_embedding", "transformer.resblocks.7.ln_1.weight", "logit_scale")
    }  # fmt: skip
    path = write(tower | text)
    model = _check(golden, "hf/clip_full", path, num_heads=2, gelu="quick")
    assert model.config.projection_size and bind(open_checkpoint(path)).unexpected == ()


def test_the_config_of_open_clip_is_read(golden, arrays, write, tmp_path):
    from keras_vit.files import write_json

    path = write({f"visual.{n}": a for n, a in _as_open_clip(arrays("hf/clip_full")).items()})
    tower = {"layers": 2, "width": 16, "head_width": 8, "image_size": 16, "patch_size": 4}

    def config(model=None, **changes):
        model = {"quick_gelu": True, "vision_cfg": tower | changes} | (model or {})
        preparation = {"mean": [0.1, 0.2, 0.3], "resize_mode": "squash"}
        write_json(
            tmp_path / "open_clip_config.json",
            {"model_cfg": model, "preprocess_cfg": preparation},
        )

    config()
    model = _check(golden, "hf/clip_full", path)
    assert model.preprocessing.mean == (0.1, 0.2, 0.3) and model.preprocessing.resize == "squash"
    for change, message in (
        ({"pool_type": "avg"}, "pool_type='avg'"),
        ({"layers": 12}, "layers=12, where the arrays have 2"),
        ({"head_width": 0}, "head_width=0"),
    ):
        config(**change)
        with pytest.raises(ValueError, match=message):
            from_checkpoint(path)


def test_a_timm_trunk_of_open_clip(golden, arrays, write):
    own = arrays("timm/siglip")
    text = {"text.ln_final.weight": np.zeros(4, "float32"), "logit_bias": np.zeros(1, "float32")}
    path = write({f"visual.trunk.{name}": a for name, a in own.items()} | text)
    _check(golden, "timm/siglip", path, num_heads=2)
