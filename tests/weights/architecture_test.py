import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.architecture import adapt_variant, infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.files.opening import open_checkpoint

# Absent from the files: training-only fields, and what a reference leaves undefined.
_NOT_COMPARED = {"weights_image_size", "weights_grid_size"}


def test_finds_the_config_of_every_golden_case(case):
    size = {"image_size": case.config["image_size"]} if case.input_shape else {}
    found = infer_config(bind(open_checkpoint(case.source)), **case.arguments, **size)
    expected = {key: value for key, value in case.config.items() if key not in _NOT_COMPARED}
    if expected["position_embedding_interpolation"] is None:  # nothing was resized
        del expected["position_embedding_interpolation"]
    if expected["pre_logits_size"] is None:  # then there is nothing to activate
        del expected["pre_logits_activation"]
    kept = {"position_embedding_interpolation", "pre_logits_activation"} - expected.keys()
    ignored = {field: getattr(found, field) for field in (*kept, "multi_label")}
    assert found == VisionTransformerConfig.from_dict({**expected, **ignored})


@pytest.mark.parametrize(
    ("variant", "patch", "tokens"), [("ViT_B16", 16, 197), ("ViT_H14", 14, 257)]
)
def test_heads_of_a_published_size_need_no_argument(
    variant, patch, tokens, shapes_file, timm_shapes
):
    config = VARIANTS[variant]
    shapes = timm_shapes(config.hidden_size, config.mlp_dim, config.num_layers, patch, tokens)
    assert infer_config(bind(shapes_file(shapes))).num_heads == config.num_heads


@pytest.mark.parametrize(
    ("hidden", "mlp", "layers"), [(1280, 5120, 31), (1152, 4304, 26), (1408, 6144, 39), (48, 96, 1)]
)
def test_heads_that_no_published_model_has_are_asked_for(
    hidden, mlp, layers, shapes_file, timm_shapes
):
    bound = bind(shapes_file(timm_shapes(hidden, mlp, layers)))
    with pytest.raises(ValueError, match=f"num_layers={layers}.*Pass `num_heads=`"):
        infer_config(bound)
    assert infer_config(bound, num_heads=16).num_heads == 16


def test_a_grid_that_is_not_square_is_asked_for_and_taken(shapes_file, timm_shapes):
    bound = bind(shapes_file(timm_shapes(64, 128, 1, tokens=1 + 3 * 6)))
    with pytest.raises(ValueError, match="stored_grid"):
        infer_config(bound, num_heads=4)
    config = infer_config(bound, num_heads=4, stored_grid=(3, 6))
    assert config.grid_size == (3, 6)
    assert config.position_embedding_prefix_rows == 1


def test_blocks_with_a_gap_are_an_error(shapes_file, timm_shapes):
    shapes = timm_shapes(64, 128, 3)
    shapes = {name: shape for name, shape in shapes.items() if "blocks.1." not in name}
    with pytest.raises(ValueError, match=r"without \[1\]"):
        infer_config(bind(shapes_file(shapes)))


def test_a_variant_takes_head_and_conventions_of_the_file(shapes_file, timm_shapes):
    shapes = timm_shapes(768, 3072, 12)
    shapes |= {"head.weight": (21843, 768), "head.bias": (21843,)}
    config = adapt_variant("ViT_B16", VARIANTS["ViT_B16"], bind(shapes_file(shapes)))
    assert (config.num_classes, config.gelu, config.num_heads) == (21843, "erf", 12)


def test_weights_of_another_variant_are_an_error_that_names_the_sizes(shapes_file, timm_shapes):
    bound = bind(shapes_file(timm_shapes(768, 3072, 12)))
    with pytest.raises(ValueError, match="hidden_size=768 in place of 1024.*from_checkpoint"):
        adapt_variant("ViT_L16", VARIANTS["ViT_L16"], bound)
