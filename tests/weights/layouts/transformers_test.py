"""What `config.json` and `preprocessor_config.json` of transformers tell, and what is refused."""

import shutil
import warnings

import pytest

from keras_vit.weights.architecture import infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.files.opening import open_checkpoint

CLASSIFIER = "hf/vit_classifier"


@pytest.fixture
def bound(golden):
    """Returns a function: a golden case and changes of its `config.json` to the bound file."""

    def change(name, *absent, **changes):
        bound = bind(open_checkpoint(golden(name).source))
        config = bound.file.config.get("vision_config", bound.file.config)
        config.update(changes)
        for key in absent:
            del config[key]
        return bound

    return change


def _preprocessing(bound, processor=None, channels=3):
    bound.file.preprocessor.update(processor or {})
    return bound.layout.preprocessing(bound, (16, 16), channels)


@pytest.mark.parametrize(
    ("name", "epsilon", "gelu"),
    [
        ("hf/vit_classifier", 1e-12, "erf"), ("hf/dinov2", 1e-6, "erf"),
        ("hf/siglip_vision", 1e-6, "tanh"), ("hf/clip_vision", 1e-5, "quick"),
    ],
)  # fmt: skip
def test_without_config_json_that_of_the_class_is_a_guess_that_is_said(golden, name, epsilon, gelu):
    bound = bind(open_checkpoint(golden(name).source))
    bound.file.config.clear()
    with pytest.warns(UserWarning, match=f"gelu='{gelu}' and layer_norm_epsilon={epsilon}"):
        config = infer_config(bound, num_heads=2)
    assert (config.layer_norm_epsilon, config.gelu) == (epsilon, gelu)
    assert f"gelu='{gelu}'" in bound.notes[0]


def test_values_that_a_config_json_leaves_out_are_those_of_its_class(bound):
    full = bound("hf/clip_full", "hidden_act", "layer_norm_eps", "num_attention_heads")
    assert full.file.config["text_config"]["num_attention_heads"] == 2
    with pytest.raises(ValueError, match="num_heads=12"):  # 16 wide: 12 heads do not fit
        infer_config(full)
    config = infer_config(full, num_heads=4)
    assert (config.gelu, config.layer_norm_epsilon) == ("quick", 1e-5)


@pytest.mark.parametrize(
    ("model_type", "epsilon"), [("vit", 1e-12), ("vit_mae", 1e-12), ("vit_msn", 1e-6)]
)
def test_defaults_are_those_of_the_model_type(bound, model_type, epsilon):
    found = infer_config(bound(CLASSIFIER, "layer_norm_eps", model_type=model_type))
    assert found.layer_norm_epsilon == epsilon


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 768}, "hidden_size=768, where the arrays have 16.*folder of their own"),
        ({"num_hidden_layers": 3}, "num_hidden_layers=3, where the arrays have 2"),
        ({"num_attention_heads": 1.5}, "num_attention_heads.*an integer.*=1.5"),
        ({"num_attention_heads": 0}, "num_attention_heads.*at least 1.*=0"),
        ({"num_attention_heads": True}, "num_attention_heads=True"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps.*a number above 0.*'small'"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps=-1.0"),
        ({"image_size": "big"}, "image_size.*'big'"),
        ({"image_size": [1, 2, 3]}, "image_size"),
        ({"hidden_act": "selu"}, "hidden_act.*one of.*'selu'"),
        ({"hidden_act": 3}, "hidden_act=3"),
        ({"patch_size": 0}, "patch_size"),
        ({"id2label": {"0": "a"}}, "head of .*with 1 classes.*10 classes in its arrays"),
        ({"model_type": "yolos"}, r"detection tokens \(model_type='yolos'\)"),
        ({"apply_layernorm": False}, "apply_layernorm.*features of a backbone without their norm"),
        ({"is_hybrid": True}, "is_hybrid.*hybrid of transformers"),
        ({"model_type": "mine"}, r"unknown to this package \(model_type='mine'\)"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(bound, change, message):
    with pytest.raises(ValueError, match=message):
        infer_config(bound(CLASSIFIER, **change))


def test_what_the_user_says_takes_the_place_of_a_value(bound):
    assert infer_config(bound(CLASSIFIER, hidden_act="relu"), gelu="tanh").gelu == "tanh"


@pytest.mark.parametrize(
    ("act", "activation"), [("relu", "relu"), ("linear", "linear"), (None, "tanh")]
)
def test_the_activation_of_the_pooler_is_read(bound, act, activation):
    config = infer_config(bound("hf/vit_model_pooler", pooler_act=act))
    assert config.pre_logits_activation == activation
    with pytest.raises(ValueError, match="pooler_act.*'softsign'"):
        infer_config(bound("hf/vit_model_pooler", pooler_act="softsign"))


def test_a_classifier_without_its_head_is_refused(golden, tmp_path):
    from safetensors.numpy import load_file, save_file

    source = golden(CLASSIFIER).source
    arrays = load_file(source / "model.safetensors")
    save_file(
        {name: a for name, a in arrays.items() if not name.startswith("classifier")},
        tmp_path / "model.safetensors",
    )
    shutil.copy(source / "config.json", tmp_path)
    with pytest.raises(ValueError, match="head of .*Received: no classes"):
        infer_config(bind(open_checkpoint(tmp_path)))
    assert infer_config(bind(open_checkpoint(tmp_path)), num_classes=0).num_classes == 0


def test_preprocessing_is_that_of_the_family(bound):
    clip = _preprocessing(bound("hf/clip_full"))
    assert clip.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert (clip.resize, clip.crop_offset) == ("crop", "down")
    assert _preprocessing(bound(CLASSIFIER), channels=1).mean == (0.5,)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"resample": 3, "size": {"height": 16, "width": 16}}, ("bicubic", "squash", 1.0)),
        ({"resample": 2, "size": 16}, ("bilinear", "squash", 1.0)),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224},
             "do_center_crop": True},
            ("bilinear", "crop", 0.875),
        ),
        (
            {"size": {"height": 256, "width": 256}, "crop_size": 224, "do_center_crop": True},
            ("bilinear", "squash", 0.875),
        ),
    ],
)  # fmt: skip
def test_resizing_is_read_from_the_processor(bound, processor, expected):
    found = _preprocessing(bound(CLASSIFIER), processor)
    assert (found.resampling, found.resize, found.crop_fraction) == expected


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        ({}, 0.485, 0.25), ({"do_normalize": False}, 0.0, 1.0),
        ({"rescale_factor": 1 / 127.5}, 0.2425, 0.125),
        ({"do_rescale": False}, 0.485 / 255, 0.25 / 255),
    ],
)  # fmt: skip
def test_statistics_are_read_from_the_processor(bound, processor, mean, std):
    statistics = {"image_mean": [0.485] * 3, "image_std": [0.25] * 3}
    found = _preprocessing(bound(CLASSIFIER), statistics | processor)
    assert (found.mean[0], found.std[2]) == pytest.approx((mean, std))


@pytest.mark.parametrize(
    "processor",
    [
        {"resample": 1}, {"do_resize": False}, {"size": {"shortest_edge": 256}},
        {"size": {"shortest_edge": 16}, "crop_size": 32, "do_center_crop": True},
    ],
)  # fmt: skip
def test_what_no_field_expresses_is_said(bound, processor):
    with pytest.warns(UserWarning, match="preprocessor_config.json"):
        _preprocessing(bound(CLASSIFIER), processor)


@pytest.mark.parametrize(
    "processor",
    [{"image_mean": "x"}, {"image_std": [0.0] * 3, "image_mean": [0.0] * 3}, {"resample": 1.5}],
)
def test_a_processor_of_wrong_values_is_refused(bound, processor):
    with pytest.raises(ValueError, match=next(iter(processor))):
        _preprocessing(bound(CLASSIFIER), processor)


def test_a_whole_folder_needs_no_guess(golden):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infer_config(bind(open_checkpoint(golden(CLASSIFIER).source)))
