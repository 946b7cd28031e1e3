"""What `config.json` of timm or a published name tells, and what is refused."""

import pathlib

import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.models.rotary_config import RotaryConfig
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.layouts.timm_architectures import published_arguments

VIT = "vit_base_patch16_224"
HEADS = {"num_heads": 4}


@pytest.fixture
def infer(shapes_file, timm_shapes):
    """Returns a function: `config.json` and more of a tiny ViT to the config of the model."""

    def read(config=None, *absent, path=None, given=None, **more):
        shapes = timm_shapes(64, 128, 2, **more)
        shapes = {name: shape for name, shape in shapes.items() if name not in absent}
        file = shapes_file(shapes, config)
        file.path = path or file.path
        read.bound = bind(file)
        return infer_config(read.bound, **(given or {}))

    return read


def _args(architecture=VIT, **arguments):
    return {"architecture": architecture, "model_args": arguments}


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (_args(num_heads=4), "num_heads", 4),
        (_args("vit_medium_patch16_reg4_256"), "num_heads", 8),
        (_args(num_heads=4, act_layer="gelu_tanh"), "gelu", "tanh"),
        (_args(num_heads=4, act_layer="relu"), "mlp", "relu"),
        (_args("vit_large_patch14_clip_quickgelu_224"), "gelu", "quick"),
        (_args("vit_so400m_patch16_siglip_gap_256"), "gelu", "tanh"),
        (_args("vit_so400m_patch14_siglip_gap_224"), "gelu", "erf"),
        (_args("vit_large_patch14_clip_224"), "layer_norm_epsilon", 1e-5),
        (_args("vit_large_patch14_clip_224", norm_layer="LayerNorm"), "layer_norm_epsilon", 1e-6),
        (_args(num_heads=4, global_pool="avg"), "pooling", "gap"),
        ({**_args(num_heads=4), "global_pool": "max"}, "pooling", "max"),
        (_args(num_heads=4, global_pool="avgmax"), "pooling", "avgmax"),
        (_args(num_heads=4, pool_include_prefix=True), "pooling_includes_prefix_tokens", True),
        (_args(num_heads=4, img_size=[112, 448]), "image_size", (112, 448)),
    ],
)
def test_a_field_is_read(infer, config, field, value):
    assert getattr(infer(config), field) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"act_layer": "silu"}, "act_layer.*one of.*'silu'"),
        ({"global_pool": "prr"}, "global_pool.*'prr'"),
        ({"global_pool": "map"}, "global_pool.*the pooling that the arrays have"),
        ({"pos_embed": "none"}, "pos_embed.*learned, since the arrays have it.*'none'"),
        ({"norm_layer": "rmsnorm"}, "norm_layer.*'rmsnorm'"),
        ({"scale_mlp_norm": True}, "scale_mlp_norm=True, where the arrays have False"),
        ({"use_post_norm": True}, "no post-norm blocks"),
        ({"final_norm": False}, "final_norm.*true, since the arrays have it"),
        ({"use_rot_pos_emb": True, "rope_type": "mixed"}, "rope_type.*the arrays have"),
        ({"attn_layer": "diff"}, "attn_layer.*does not know.*'diff'"),
        ({"num_heads": 2.5}, "num_heads.*an integer.*2.5"),
        ({"num_heads": "two"}, "num_heads='two'"),
        ({"num_heads": 3}, "divisible by `num_heads`.*num_heads=3"),
        ({"embed_dim": 128}, "embed_dim=128, where the arrays have 64"),
        ({"depth": 12}, "depth=12"),
        ({"reg_tokens": 4}, "reg_tokens=4"),
        ({"num_classes": 7}, "num_classes=7, where the arrays have 0"),
        ({"img_size": "large"}, "img_size"),
    ],
)
def test_an_argument_that_no_field_expresses_is_refused_by_name_and_value(
    infer, arguments, message
):
    with pytest.raises(ValueError, match=message):
        infer(_args(**{"num_heads": 4, **arguments}))


def test_model_args_of_another_kind_are_refused(infer):
    with pytest.raises(ValueError, match="Expected an object as model_args"):
        infer({"architecture": VIT, "model_args": [1]})


@pytest.mark.parametrize(
    ("architecture", "feature"),
    [
        ("vit_base_patch16_sapiens2", "grouped queries"),
        ("vit_base_patch16_rpn_224", "post-norm blocks"),
        ("convit_base", "gated positional attention"),
        ("cait_s24_224", "class attention"),
    ],
)
@pytest.mark.parametrize("where", ["config.json", "file name", "folder name"])
def test_a_model_of_features_that_are_not_here_is_refused_by_their_name(
    infer, architecture, feature, where
):
    path = {"file name": f"{architecture}.a_tag.safetensors",
            "folder name": f"/hub/{architecture}.a_tag/model.safetensors"}.get(where)  # fmt: skip
    with pytest.raises(ValueError, match=f"{feature}.*architecture='{architecture}'"):
        infer(_args(architecture) if path is None else None, path=path)


@pytest.mark.parametrize(
    ("architecture", "rotary"),
    [
        ("vit_small_patch16_dinov3", {"scale": "centred", "base": 100, "pairs": "halves"}),
        ("eva02_base_patch14_448", {"base": 10000, "reference_grid": 16}),
        ("vit_base_patch16_rope_ape_224", {"base": 100, "order": "xy"}),
        (
            "vit_pe_spatial_base_patch16_512",
            {"base": 10000, "offset": 1, "order": "xy", "reference_grid": 32},
        ),
    ],
)
def test_a_published_name_tells_rotary_positions(infer, architecture, rotary):
    config = infer(path=f"/hub/{architecture}.a_tag/model.safetensors", given=HEADS)
    assert config.rotary == RotaryConfig(**{"pairs": "neighbours", **rotary})
    assert config.position_embedding == "learned"
    # Positions of another kind, and none stored.
    arguments = {"rope_temperature": 7, "use_abs_pos_emb": False, **HEADS}
    config = infer(_args(architecture, **arguments), "pos_embed")
    assert (config.rotary.base, config.position_embedding) == (7, "none")


def test_a_published_name_tells_heads_and_gelu(infer):
    path = "/hub/vit_large_patch14_clip_quickgelu_224.openai/model.safetensors"
    config = infer(path=path)
    assert (config.num_heads, config.gelu, config.layer_norm_epsilon) == (16, "quick", 1e-5)


# As timm 1.0.31 makes them.
HEADS_BY_NAME = {
    "vit_base_patch16_gap_224": 16, "vit_giant_patch14_reg4_dinov2": 24, "test_vit3": 3,
    "aimv2_3b_patch14_224": 24, "aimv2_huge_patch14_224": 12, "aimv2_large_patch14_224": 8,
    "test_vit": 2, "vit_7b_patch16_dinov3": 32, "vit_huge_plus_patch16_dinov3": 20,
    "vit_base_patch16_plus_240": 14, "vit_tiny_patch16_224": 3, "vit_xsmall_patch16_clip_224": 4,
    "vit_wee_patch16_reg1_gap_256": 4, "vit_little_patch16_reg4_gap_256": 5,
    "vit_small_patch16_224": 6, "vit_medium_patch16_gap_240": 8, "vit_huge_patch14_224": 16,
    "vit_betwixt_patch16_reg4_gap_256": 10, "vit_base_patch16_224": 12, "test_vit4": 3,
    "vit_so150m2_patch16_reg1_gap_256": 13, "vit_so150m_patch16_reg4_map_256": 14,
    "vit_large_patch16_224": 16, "vit_giant_patch14_224": 16, "vit_gigantic_patch14_224": 16,
    "vit_giantopt_patch16_siglip_256": 16, "vit_so400m_patch14_siglip_224": 16,
    "vit_small_resnet26d_224": 8, "vit_intern300m_patch14_448": 16, "eva02_tiny_patch14_224": 3,
    "vit_pe_core_gigantic_patch14_448": 16, "beitv2_large_patch16_224": 16,
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS_BY_NAME)
def test_heads_of_a_published_name_are_those_of_timm(name):
    assert published_arguments(name)["num_heads"] == HEADS_BY_NAME[name]


@pytest.mark.parametrize(
    ("hidden", "patch", "rows", "gelu"),
    [
        (768, 32, 8, "tanh"), (1024, 16, 32, "tanh"), (1024, 16, 16, "erf"),
        (1152, 16, 16, "tanh"), (1152, 14, 16, "erf"), (1536, 16, 16, "tanh"),
    ],
)  # fmt: skip
def test_the_gelu_of_siglip_is_known_by_its_size(
    shapes_file, timm_shapes, hidden, patch, rows, gelu
):
    shapes = timm_shapes(
        hidden, 64, 1,
        **{
            "pos_embed": (1, rows**2, hidden), "patch_embed.proj.weight": (hidden, 3, patch, patch),
            "attn_pool.latent": (1, 1, hidden), "attn_pool.q.weight": (hidden, hidden),
            "attn_pool.q.bias": (hidden,), "attn_pool.kv.weight": (2 * hidden, hidden),
            "attn_pool.kv.bias": (2 * hidden,), "attn_pool.proj.weight": (hidden, hidden),
            "attn_pool.proj.bias": (hidden,), "attn_pool.norm.weight": (hidden,),
            "attn_pool.norm.bias": (hidden,), "attn_pool.mlp.fc1.weight": (64, hidden),
            "attn_pool.mlp.fc1.bias": (64,), "attn_pool.mlp.fc2.weight": (hidden, 64),
            "attn_pool.mlp.fc2.bias": (hidden,),
        },
    )  # fmt: skip
    del shapes["cls_token"]
    bound = bind(shapes_file(shapes, None))
    assert infer_config(bound, num_heads=8).gelu == gelu
    assert any("as SigLIP of this size" in note for note in bound.notes) == (gelu == "tanh")


def test_without_positions_of_its_own_nothing_is_guessed(infer):
    with pytest.raises(ValueError, match="no stored position embedding"):
        infer(None, "pos_embed", given={"num_heads": 4})
    config = infer(None, "pos_embed", given={"num_heads": 4, "position_embedding": "sincos2d"})
    assert config.position_embedding == "sincos2d"


def test_clip_of_unknown_origin_has_a_gelu_that_is_guessed_aloud(infer):
    clip = {"norm_pre.weight": (64,), "norm_pre.bias": (64,)}
    with pytest.warns(UserWarning, match="gelu='erf'.*OpenAI.*gelu='quick'"):
        infer(given={"num_heads": 4}, **clip)
    assert infer(given={"num_heads": 4, "gelu": "quick"}, **clip).gelu == "quick"


@pytest.mark.parametrize(
    ("sizes", "absent", "more", "message"),
    [
        (
            (64, 128, 2), (),
            {f"blocks.{i}.gamma_{part}": (64,) for i in (0, 1) for part in (1, 2)},
            "ViT-RoPE-APE of timm has the same arrays",
        ),
        (
            (768, 3072, 12),
            ("cls_token", "norm.weight", "norm.bias",
             *(f"blocks.{i}.attn.qkv.bias" for i in range(12))),
            {"fc_norm.weight": (768,), "fc_norm.bias": (768,), "pos_embed": (1, 196, 768)},
            "normalises last",
        ),
        ((768, 3072, 12), ("cls_token",), {"pos_embed": (1, 196, 768)}, "16 heads"),
    ],
)  # fmt: skip
def test_two_published_models_of_the_same_arrays_are_told_of(
    shapes_file, timm_shapes, sizes, absent, more, message
):
    shapes = {n: s for n, s in timm_shapes(*sizes).items() if n not in absent} | more
    heads = {"num_heads": 4} if sizes[0] == 64 else {}
    with pytest.warns(UserWarning, match=message):
        infer_config(bind(shapes_file(shapes)), **heads)


def test_the_arrays_of_perception_encoder_are_known(infer):
    more = {"norm_pre.weight": (64,), "norm_pre.bias": (64,), "attn_pool.latent": (1, 1, 64)}
    with pytest.raises(ValueError, match="rotary positions, as Perception Encoder"):
        infer(given={"num_heads": 4, "gelu": "erf"}, **more)


@pytest.mark.parametrize(
    ("name", "feature"),
    [("eva02", "as EVA-02 has them"), ("relpos", "vit_relpos_.*_rpn"), ("radio", "no final norm")],
)
def test_without_a_name_nothing_is_taken_for_a_model_of_the_same_arrays(name, feature, tmp_path):
    from safetensors.numpy import load_file, save_file

    source = pathlib.Path(__file__).parents[2] / "fixtures" / "zoo" / f"timm_{name}"
    arrays = load_file(source / "model.safetensors")
    arrays = {key: array for key, array in arrays.items() if ".ls" not in key}
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=feature):
        from_checkpoint(tmp_path / "model.safetensors", num_heads=2)


def test_the_last_pixels_are_dropped_where_the_stored_grid_says_so(infer):
    config = infer(given={"num_heads": 4, "image_size": (234, 224)})
    assert (config.drop_remainder, config.grid_size) == (True, (14, 14))
    assert "patches cover (224, 224) of (234, 224) pixels" in infer.bound.notes[-1]
    with pytest.raises(ValueError, match="divisible by the patch stride"):
        infer(given={"num_heads": 4, "image_size": (250, 224)})


def test_heads_are_told_by_what_is_made_for_each(infer):
    table = {f"blocks.{i}.attn.relative_position_bias_table": (27 * 27 + 3, 4) for i in (0, 1)}
    config = infer(None, "pos_embed", **table)
    assert (config.num_heads, config.image_size) == (4, (224, 224))
    assert config.relative_position_bias.interpolation == "geometric"


@pytest.mark.parametrize(
    ("sizes", "heads"), [((512, 2048, 12), 8), ((896, 2304, 18), 14), ((1536, 6144, 40), 16)]
)
def test_heads_of_a_published_size_of_timm_need_no_argument(shapes_file, timm_shapes, sizes, heads):
    bound = bind(shapes_file(timm_shapes(*sizes)))
    assert infer_config(bound).num_heads == heads
    assert f"num_heads={heads}" in bound.notes[-1]


def test_preprocessing_is_read_from_the_published_config(infer):
    published = {
        "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear",
        "crop_pct": 0.8, "crop_mode": "center",
    }  # fmt: skip

    def read(**changes):
        infer({**_args(num_heads=4), "pretrained_cfg": {**published, **changes}})
        return infer.bound.layout.preprocessing(infer.bound, (224, 224), 3)

    found = read()
    assert (found.crop_fraction, found.resampling, found.resize) == (0.8, "bilinear", "crop")
    assert found.std == (0.4, 0.5, 0.6)
    squashed = read(crop_mode="squash", crop_pct=0.95)
    assert (squashed.resize, squashed.crop_fraction) == ("squash", 0.95)
    with pytest.warns(UserWarning, match="crop_mode='border'"):
        read(crop_mode="border")
    with pytest.raises(ValueError, match="crop_pct.*-1"):
        read(crop_pct=-1)
    with pytest.raises(ValueError, match="mean"):
        read(mean=["a", "b", "c"])
