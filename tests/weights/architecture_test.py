import numpy as np
import pytest

from keras_vit.configs import VARIANTS, VisionTransformerConfig
from keras_vit.weights.architecture import adapt_variant, infer_config
from keras_vit.weights.arrays import ArrayFile, ArraySpec
from keras_vit.weights.binding import bind
from keras_vit.weights.conventions import preprocessing
from keras_vit.weights.sources import open_checkpoint

# Absent from the files: training-only fields, and what a reference leaves undefined.
_NOT_COMPARED = {"weights_image_size", "weights_grid_size"}


class _Shapes(ArrayFile):
    """A file of shapes alone, for models too big to write."""

    def __init__(self, shapes, config=None):
        specs = {name: ArraySpec(tuple(shape), "float32") for name, shape in shapes.items()}
        super().__init__("shapes.safetensors", specs, config)


def _timm_shapes(hidden, mlp, layers, patch=16, tokens=197, **more):
    shapes = {
        "cls_token": (1, 1, hidden),
        "pos_embed": (1, tokens, hidden),
        "patch_embed.proj.weight": (hidden, 3, patch, patch),
        "patch_embed.proj.bias": (hidden,),
        "norm.weight": (hidden,),
        "norm.bias": (hidden,),
    }
    for index in range(layers):
        block = f"blocks.{index}."
        shapes |= {
            f"{block}norm1.weight": (hidden,), f"{block}norm1.bias": (hidden,),
            f"{block}attn.qkv.weight": (3 * hidden, hidden), f"{block}attn.qkv.bias": (3 * hidden,),
            f"{block}attn.proj.weight": (hidden, hidden), f"{block}attn.proj.bias": (hidden,),
            f"{block}norm2.weight": (hidden,), f"{block}norm2.bias": (hidden,),
            f"{block}mlp.fc1.weight": (mlp, hidden), f"{block}mlp.fc1.bias": (mlp,),
            f"{block}mlp.fc2.weight": (hidden, mlp), f"{block}mlp.fc2.bias": (hidden,),
        }  # fmt: skip
    return shapes | more


def test_finds_the_config_of_every_golden_case(case):
    size = {"image_size": case.config["image_size"]} if case.input_shape else {}
    found = infer_config(bind(open_checkpoint(case.source)), **case.arguments, **size)
    expected = {key: value for key, value in case.config.items() if key not in _NOT_COMPARED}
    if expected["position_embedding_interpolation"] is None:  # nothing was resized
        del expected["position_embedding_interpolation"]
    if expected["pre_logits_size"] is None:  # then there is nothing to activate
        del expected["pre_logits_activation"]
    kept = {"position_embedding_interpolation", "pre_logits_activation"} - expected.keys()
    ignored = {field: getattr(found, field) for field in kept}
    assert found == VisionTransformerConfig.from_dict({**expected, **ignored})


@pytest.mark.parametrize(
    ("variant", "patch", "tokens"), [("ViT_B16", 16, 197), ("ViT_H14", 14, 257)]
)
def test_heads_of_a_published_size_need_no_argument(variant, patch, tokens):
    config = VARIANTS[variant]
    shapes = _timm_shapes(config.hidden_size, config.mlp_dim, config.num_layers, patch, tokens)
    assert infer_config(bind(_Shapes(shapes))).num_heads == config.num_heads


def test_heads_of_another_size_are_64_wide():
    assert infer_config(bind(_Shapes(_timm_shapes(320, 640, 2)))).num_heads == 5


def test_heads_that_cannot_be_told_are_asked_for():
    with pytest.raises(ValueError, match="Pass `num_heads=`"):
        infer_config(bind(_Shapes(_timm_shapes(48, 96, 1))))


def test_a_grid_that_is_not_square_is_asked_for_and_taken():
    bound = bind(_Shapes(_timm_shapes(64, 128, 1, tokens=1 + 3 * 6)))
    with pytest.raises(ValueError, match="image_size"):
        infer_config(bound)
    config = infer_config(bound, image_size=(48, 96))
    assert config.grid_size == (3, 6)
    assert config.position_embedding_prefix_rows == 1


def test_blocks_with_a_gap_are_an_error():
    shapes = _timm_shapes(64, 128, 3)
    shapes = {name: shape for name, shape in shapes.items() if "blocks.1." not in name}
    with pytest.raises(ValueError, match=r"without \[1\]"):
        infer_config(bind(_Shapes(shapes)))


def test_timm_config_tells_the_gelu_of_its_models():
    shapes = _timm_shapes(64, 128, 1)
    named = _Shapes(shapes, {"architecture": "vit_base_patch32_clip_quickgelu_224"})
    assert infer_config(bind(named)).gelu == "quick"
    given = _Shapes(shapes, {"architecture": "x", "model_args": {"act_layer": "gelu_tanh"}})
    assert infer_config(bind(given)).gelu == "tanh"
    assert infer_config(bind(_Shapes(shapes))).gelu == "erf"


def test_a_config_of_another_model_beside_the_file_is_an_error(golden):
    bound = bind(open_checkpoint(golden("hf/vit_classifier").source))
    bound.file.config["hidden_size"] = 768
    with pytest.raises(ValueError, match="config.json"):
        infer_config(bound)


def test_without_config_json_the_convention_of_the_family_holds(golden):
    for name, epsilon, gelu in (
        ("hf/vit_classifier", 1e-12, "erf"),
        ("hf/dinov2", 1e-6, "erf"),
        ("hf/siglip_vision", 1e-6, "tanh"),
        ("hf/clip_vision", 1e-5, "quick"),
    ):
        bound = bind(open_checkpoint(golden(name).source))
        bound.file.config.clear()
        config = infer_config(bound, num_heads=2)
        assert (config.layer_norm_epsilon, config.gelu) == (epsilon, gelu), name


def test_values_that_a_config_json_leaves_out_are_those_of_its_class(golden):
    bound = bind(open_checkpoint(golden("hf/clip_full").source))
    for name in ("hidden_act", "layer_norm_eps", "num_attention_heads"):
        del bound.file.config["vision_config"][name]
    assert bound.file.config["text_config"]["num_attention_heads"] == 2
    with pytest.raises(ValueError, match="num_heads=12"):  # 16 wide: 12 heads do not fit
        infer_config(bound)
    config = infer_config(bound, num_heads=4)
    assert (config.gelu, config.layer_norm_epsilon) == ("quick", 1e-5)


def test_a_variant_takes_head_and_conventions_of_the_file():
    shapes = _timm_shapes(768, 3072, 12)
    shapes |= {"head.weight": (21843, 768), "head.bias": (21843,)}
    config = adapt_variant("ViT_B16", VARIANTS["ViT_B16"], bind(_Shapes(shapes)))
    assert (config.num_classes, config.gelu, config.num_heads) == (21843, "erf", 12)


def test_weights_of_another_variant_are_an_error_that_names_the_sizes():
    bound = bind(_Shapes(_timm_shapes(768, 3072, 12)))
    with pytest.raises(ValueError, match="hidden_size=768 in place of 1024.*from_checkpoint"):
        adapt_variant("ViT_L16", VARIANTS["ViT_L16"], bound)


def test_preprocessing_is_that_of_the_family(golden):
    google = bind(open_checkpoint(golden("google/vit_token").source))
    assert preprocessing(google, (16, 16), 3).resize == "squash"
    clip = preprocessing(bind(open_checkpoint(golden("hf/clip_full").source)), (16, 16), 3)
    assert clip.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    grey = preprocessing(google, (16, 16), 1)
    assert grey.mean == (0.5,)


def test_preprocessing_of_timm_is_read_from_its_config():
    config = {
        "pretrained_cfg": {
            "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear",
            "crop_pct": 0.8, "crop_mode": "center",
        }
    }  # fmt: skip
    found = preprocessing(bind(_Shapes(_timm_shapes(64, 128, 1), config)), (224, 224), 3)
    assert found.crop_fraction == 0.8 and found.resampling == "bilinear"
    np.testing.assert_allclose(found.std, (0.4, 0.5, 0.6))
