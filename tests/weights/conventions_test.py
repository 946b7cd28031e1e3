import numpy as np
import pytest

from keras_vit.weights.architecture import infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.files.opening import open_checkpoint


def _preprocessing(bound, size, channels):
    return bound.layout.preprocessing(bound, size, channels)


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


def test_preprocessing_is_that_of_the_family(golden):
    google = bind(open_checkpoint(golden("google/vit_token").source))
    assert _preprocessing(google, (16, 16), 3).resize == "squash"
    clip = _preprocessing(bind(open_checkpoint(golden("hf/clip_full").source)), (16, 16), 3)
    assert clip.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    grey = _preprocessing(google, (16, 16), 1)
    assert grey.mean == (0.5,)


def test_timm_config_tells_the_gelu_of_its_models(shapes_file, timm_shapes):
    shapes = timm_shapes(64, 128, 1)
    named = shapes_file(shapes, {"architecture": "vit_base_patch32_clip_quickgelu_224"})
    assert infer_config(bind(named)).gelu == "quick"
    given = shapes_file(shapes, {"architecture": "x", "model_args": {"act_layer": "gelu_tanh"}})
    assert infer_config(bind(given)).gelu == "tanh"
    assert infer_config(bind(shapes_file(shapes))).gelu == "erf"


def test_preprocessing_of_timm_is_read_from_its_config(shapes_file, timm_shapes):
    config = {
        "pretrained_cfg": {
            "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear",
            "crop_pct": 0.8, "crop_mode": "center",
        }
    }  # fmt: skip
    found = _preprocessing(bind(shapes_file(timm_shapes(64, 128, 1), config)), (224, 224), 3)
    assert found.crop_fraction == 0.8 and found.resampling == "bilinear"
    np.testing.assert_allclose(found.std, (0.4, 0.5, 0.6))
