"""The table of variants is right, and the config refuses what cannot be."""

import dataclasses
import json

import numpy as np
import pytest

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.models.variants import VARIANTS, get_variant, list_models


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_survives_json(name):
    config = VARIANTS[name]
    assert VisionTransformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"image_size": 225}, "divisible by the patch stride of 16"),
        ({"image_size": (224, 230)}, "divisible by the patch stride of 16"),
        ({"image_size": "224"}, "positive integer or a pair"),
        ({"image_size": (224, 224, 3)}, "positive integer or a pair"),
        ({"hidden_size": 770}, "divisible by `num_heads`"),
        ({"num_layers": 0}, "`num_layers` to be an integer of at least 1"),
        ({"num_layers": 2.5}, "`num_layers` to be an integer of at least 1"),
        ({"num_classes": -1}, "`num_classes` to be an integer of at least 0"),
        ({"num_classes": True}, "`num_classes` to be an integer of at least 0"),
        ({"dropout_rate": 1.0}, r"`dropout_rate` to lie in \[0, 1\)"),
        ({"drop_path_rate": -0.1}, r"`drop_path_rate` to lie in \[0, 1\)"),
        ({"attention_dropout_rate": "0.1"}, r"`attention_dropout_rate` to lie in \[0, 1\)"),
        ({"layer_norm_epsilon": 0}, "`layer_norm_epsilon` to be a number above 0"),
        ({"pooling": "tokens"}, "`pooling` to be one of"),
        ({"gelu": "exact"}, "`gelu` to be one of"),
        ({"class_token": False}, 'Use pooling="gap"'),
        ({"pooling": "token+distillation"}, "distillation_token=True"),
        ({"pooling": "none"}, "num_classes=0"),
        ({"position_embedding_prefix_rows": 2}, "at most the number of prefix tokens, 1"),
        ({"position_embedding": "sincos2d", "hidden_size": 6, "num_heads": 1}, "divisible by 4"),
        ({"hybrid": {"stem_width": 33}}, "divisible by `group_norm_groups`"),
        ({"hybrid": 50}, "None, a HybridConfig or a mapping"),
        ({"rematerialize": 1}, "`rematerialize` to be True or False"),
        ({"token_merging": -1}, "`token_merging` to be an integer of at least 0"),
        ({"token_merging": 1.5}, "`token_merging` to be an integer of at least 0"),
        ({"token_merging": (1, 2)}, "one number or one for each of 12 blocks"),
        ({"token_merging": [-1] * 12}, "`token_merging` to be an integer of at least 0"),
        ({"hiden_size": 8}, "Nearest: 'hidden_size'"),
    ],
)
def test_an_impossible_config_gets_one_clear_line(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        VisionTransformerConfig().replace(**changes)
    assert "Received" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        VisionTransformerConfig().num_layers = 3


def test_an_unknown_variant_names_the_nearest():
    with pytest.raises(ValueError, match="'ViT_B16'"):
        get_variant("vit_b_16")


def test_list_models_matches_without_regard_to_case():
    assert list_models("vit_b*") == ["ViT_B32", "ViT_B16", "ViT_B8"]
    assert list_models() == list(VARIANTS)
    assert list_models("nothing*") == []


def test_derived_values_in_a_dictionary_must_agree():
    values = VisionTransformerConfig(image_size=32).to_dict()
    assert VisionTransformerConfig.from_dict({**values, "grid_size": [2, 2]}).grid_size == (2, 2)
    with pytest.raises(ValueError, match=r"grid_size=\(2, 2\)"):
        VisionTransformerConfig.from_dict({**values, "grid_size": [4, 4]})


@pytest.mark.parametrize(
    "units, stride, channels", [((), 4, 64), ((2,), 4, 256), ((3, 4, 9), 16, 1024)]
)
def test_a_hybrid_knows_its_stride_and_channels(units, stride, channels):
    hybrid = HybridConfig(units_per_stage=units)
    assert (hybrid.stride, hybrid.num_channels) == (stride, channels)


def test_prefix_rows_follow_the_tokens():
    config = VisionTransformerConfig()
    assert config.position_embedding_prefix_rows == 1
    assert config.replace(distillation_token=True).position_embedding_prefix_rows == 2
    assert config.replace(class_token=False, pooling="gap").position_embedding_prefix_rows == 0
    assert config.replace(num_register_tokens=4).num_prefix_tokens == 5


def test_token_merging_is_a_number_or_one_for_each_block():
    config = VisionTransformerConfig(num_layers=3, token_merging=4)
    assert config.merged_per_block == (4, 4, 4)
    config = config.replace(token_merging=[0, 2, 4])
    assert config.merged_per_block == config.token_merging == (0, 2, 4)
    assert VisionTransformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"resampling": "nearest"}, "resampling"),
        ({"crop_fraction": 0}, r"\(0, 1\]"),
        ({"std": (1, 1)}, "each channel"),
        ({"std": (0, 1, 1)}, "positive `std`"),
        ({"size": 0}, "size"),
    ],
)
def test_impossible_preprocessing_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**fields)


def test_preprocessing_survives_json():
    preprocessing = Preprocessing(size=(384, 192), resampling="bicubic", crop_fraction=0.9)
    restored = Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict())))
    assert restored == preprocessing


def test_scalars_of_numpy_become_pythons_own():
    config = VisionTransformerConfig(
        hidden_size=np.int64(8), num_heads=np.int32(2), dropout_rate=np.float32(0.5),
        class_token=np.bool_(True),
    )  # fmt: skip
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert type(config.hidden_size) is int and config.dropout_rate == 0.5
    assert config.class_token is True
