"""Every factory is pinned to a number of parameters, and takes the arguments of the contract."""

import inspect

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.applications.building import BuildArguments
from keras_vit.images.spec import Preprocessing
from keras_vit.models.variants import VARIANTS, get_variant

# At the variant's own size, with its own head (1000 classes, or none).
# ViT and hybrids: google-research/vision_transformer. DeiT at 224 px equals ViT; DeiT-III adds a
# scale to each branch (2 x layers x hidden) and has no position for the class token (hidden).
PARAMETERS = {
    "ViT_Ti16": 5_717_416,
    "ViT_S32": 22_878_952,
    "ViT_S16": 22_050_664,
    "ViT_S8": 22_055_272,
    "ViT_B32": 88_224_232,
    "ViT_B16": 86_567_656,
    "ViT_B8": 86_576_872,
    "ViT_L32": 306_535_400,
    "ViT_L16": 304_326_632,
    "ViT_H14": 632_045_800,
    "ViT_g14": 1_012_611_432,
    "ViT_G14": 1_844_440_680,
    "R_Ti16": 6_337_704,
    "R26_S32": 36_431_912,
    "R50_B16": 98_659_112,
    "R50_L32": 328_994_856,
    "DeiT_Ti16": 5_717_416,
    "DeiT_S16": 22_050_664,
    "DeiT_B16": 86_567_656,
    "DeiT3_S16": 22_059_496,
    "DeiT3_B16": 86_585_320,
    "DeiT3_L16": 304_374_760,
    "DeiT3_H14": 632_126_440,
    "DINOv2_S14": 22_056_192,
    "DINOv2_B14": 86_579_712,
    "DINOv2_L14": 304_367_616,
    "DINOv2_g14": 1_136_479_232,
    "SigLIP_B16": 92_884_224,
    "SigLIP_L16": 315_956_224,
    "SigLIP_So400m14": 427_680_704,
    "CLIP_B32": 87_849_216,
    "CLIP_B16": 86_192_640,
    "CLIP_L14": 303_966_208,
    # From here on those of timm 1.0.31; beside them DINOv3 has the biases of query, key and value
    # that timm leaves out (3 x layers x hidden), EVA-02 and BEiT a bias of the keys, zero, and
    # Perception Encoder no bias of its projection, which timm has as a head.
    "DINOv3_S16": 21_586_944 + 3 * 12 * 384,
    "DINOv3_S16plus": 28_683_264 + 3 * 12 * 384,
    "DINOv3_B16": 85_641_216 + 3 * 12 * 768,
    "DINOv3_L16": 303_079_424 + 3 * 24 * 1024,
    "DINOv3_H16plus": 840_509_440 + 3 * 32 * 1280,
    "DINOv3_7B16": 6_716_030_976,
    "EVA02_Ti14": 5_756_584 + 12 * 192,
    "EVA02_S14": 22_129_000 + 12 * 384,
    "EVA02_B14": 87_117_544 + 12 * 768,
    "EVA02_L14": 305_080_232 + 24 * 1024,
    "BEiT_B16": 86_530_984 + 12 * 768,
    "BEiT_L16": 304_430_568 + 24 * 1024,
    "SBB_Little16": 22_515_048,
    "SBB_Medium16": 38_881_768,
    "SBB_MediumD16": 64_109_032,
    "SBB_Betwixt16": 60_398_440,
    "SBB_SO150M16": 134_131_560,
    "SBB_SO150M2_16": 136_059_560,
    "SigLIP2_B32": 94_552_320,
    "SigLIP2_B16": 92_884_224,
    "SigLIP2_L16": 315_956_224,
    "SigLIP2_So400m14": 427_680_704,
    "SigLIP2_So400m16": 427_888_064,
    "SigLIP2_g16": 1_163_168_256,
    "PE_Core_Ti16": 6_141_056 - 512,
    "PE_Core_S16": 23_783_168 - 512,
    "PE_Core_B16": 93_673_984 - 1024,
    "PE_Core_L14": 317_152_256 - 1024,
    "PE_Core_G14": 1_882_033_920 - 1280,
}
OTHERS = [
    ("ViT_Ti16", {"input_shape": (384, 384, 3)}, 5_790_376),
    ("ViT_S16", {"input_shape": (384, 384, 3)}, 22_196_584),
    ("ViT_B16", {"input_shape": (384, 384, 3)}, 86_859_496),
    ("ViT_B32", {"input_shape": (384, 384, 3)}, 88_297_192),
    ("ViT_L16", {"input_shape": (384, 384, 3)}, 304_715_752),
    ("R50_B16", {"input_shape": (384, 384, 3)}, 98_950_952),
    ("ViT_B16", {"include_top": False}, 85_798_656),
    ("ViT_L16", {"include_top": False}, 303_301_632),
    ("ViT_H14", {"include_top": False}, 630_764_800),
    ("ViT_B16", {"classes": 21843, "pre_logits_size": 768}, 103_186_515),
    ("ViT_S16", {"pooling": "gap", "class_token": False}, 22_049_896),
    ("ViT_S32", {"pooling": "gap", "class_token": False}, 22_878_184),
    ("ViT_B16", {"pooling": "gap", "class_token": False}, 86_566_120),
    ("ViT_B32", {"pooling": "avg", "class_token": False}, 88_222_696),
    # The published distilled models: one token, its position and a second head.
    ("DeiT_Ti16", {"distilled": True}, 5_910_800),
    ("DeiT_S16", {"distilled": True}, 22_436_432),
    ("DeiT_B16", {"distilled": True}, 87_338_192),
    ("DINOv2_S14", {"registers": 4}, 22_057_728),
    # Any size: the position embedding is stored at the variant's own.
    ("ViT_Ti16", {"input_shape": (None, None, 3)}, 5_717_416),
    ("ViT_Ti16", {"input_shape": (32, 64, 1), "classes": 10}, 5_391_946),
]


def count(name, **arguments):
    # Counted from shapes alone: the largest would need 7 GB. Keras keeps a list of variables
    # without values and would give them some at the end of the next scope; so it is cleared.
    with keras.StatelessScope(initialize_variables=False):
        number = getattr(keras_vit, name)(**arguments).count_params()
    keras.utils.clear_session(free_memory=False)
    return number


def test_every_variant_has_a_pinned_number_of_parameters():
    assert set(PARAMETERS) == set(VARIANTS) == set(keras_vit.list_models())


@pytest.mark.few(4)
@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    assert count(name) == PARAMETERS[name]


@pytest.mark.few(4)
@pytest.mark.parametrize("name, arguments, expected", OTHERS)
def test_number_of_parameters_with_arguments(name, arguments, expected):
    assert count(name, **arguments) == expected


def test_the_signature_is_that_of_keras_applications():
    parameters = list(inspect.signature(keras_vit.ViT_B16).parameters)
    assert parameters[:8] == [
        "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes",
        "classifier_activation", "name",
    ]  # fmt: skip
    assert "distilled" in inspect.signature(keras_vit.DeiT_B16).parameters
    assert "registers" in inspect.signature(keras_vit.DINOv2_B14).parameters
    assert keras_vit.ViT_B16.__name__ == "ViT_B16"


SMALL = {"hidden_size": 12, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}


@pytest.mark.parametrize(
    "arguments, shape",
    [
        ({}, (None, 1000)),
        ({"classes": 7}, (None, 7)),
        ({"classes": 7, "pooling": "map"}, (None, 7)),
        ({"include_top": False}, (None, 5, 12)),
        ({"include_top": False, "pooling": "token"}, (None, 12)),
        ({"include_top": False, "pooling": "avg"}, (None, 12)),
        ({"include_top": False, "pooling": "max"}, (None, 12)),
        ({"include_top": False, "pooling": "map"}, (None, 12)),
        ({"include_top": False, "pooling": "token+gap"}, (None, 24)),
        ({"include_top": False, "pre_logits_size": 5, "pooling": "token"}, (None, 12)),
        ({"input_shape": (48, 16, 1), "include_top": False}, (None, 4, 12)),
        ({"input_shape": (None, None, 3), "include_top": False}, (None, None, 12)),
    ],
)
def test_output_shape_follows_the_arguments(arguments, shape):
    arguments = {"input_shape": (32, 32, 3), **arguments}
    assert keras_vit.ViT_B16(**SMALL, **arguments).output.shape == shape


def test_activation_name_tensor_and_freezing_are_used():
    images = keras.Input((32, 32, 3))
    model = keras_vit.ViT_B16(
        **SMALL, classes=3, input_tensor=images, classifier_activation=None, name="mine",
        trainable=False,
    )  # fmt: skip
    assert model.name == "mine"
    assert model.input is images
    assert not model.trainable_variables
    generator = np.random.default_rng(0)
    model.get_layer("head").kernel.assign(generator.normal(size=(12, 3)))
    output = np.asarray(model(generator.normal(size=(2, 32, 32, 3)).astype("float32")))
    assert np.abs(output.sum(-1) - 1).min() > 1e-3  # logits, no probabilities
    assert keras_vit.ViT_B16(**SMALL, input_shape=(32, 32, 3)).name == "ViT_B16"


def test_layers_in_front_take_their_part_of_the_preparation():
    scaled = keras.layers.Rescaling(1 / 255)(keras.Input((32, 32, 3)))
    shift, scale = keras.ops.array([0.1, 0.2, 0.3]), keras.ops.array([0.5, 0.6, 0.7])
    published = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), resampling="bicubic")
    config = get_variant("ViT_B16").replace(**SMALL)
    model = BuildArguments(input_tensor=(scaled - shift) / scale).build(config, published)
    expected = published.replace(size=32, mean=(0, 0, 0), std=(1 / 255,) * 3)
    assert model.preprocessing == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"classes": 0}, "`classes` to be an integer of at least 1"),
        ({"classes": 2.5}, "`classes` to be an integer of at least 1"),
        ({"input_shape": (225, 224, 3)}, "divisible by the patch stride of 16"),
        ({"input_shape": (224, 224)}, r"\(height, width, channels\)"),
        ({"input_shape": (224, None, 3)}, r"\(None, None, channels\)"),
        ({"pooling": "mean"}, "`pooling` to be one of"),
        ({"num_heads": 7}, "divisible by `num_heads`"),
        ({"dropout": 0.1}, "Nearest: 'dropout_rate'"),
        ({"drop_path_rate": 1.5}, r"\[0, 1\)"),
        ({"weights": "imagnet"}, "'imagenet'"),
    ],
)
def test_impossible_arguments_get_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        keras_vit.ViT_B16(**arguments)
    assert "Received" in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def saved(tmp_path):
    """A tiny model with random weights, and the same as a checkpoint of another library."""
    model = keras_vit.ViT_B16(**SMALL, input_shape=(32, 32, 3), classes=3)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model, keras_vit.save_checkpoint(model, tmp_path / "model.npz", layout="google")


def load(path, **arguments):
    sizes = {name: value for name, value in SMALL.items() if name != "num_heads"}
    return keras_vit.ViT_B16(weights=path, num_heads=2, **sizes, **arguments)


def test_weights_from_a_file_bring_their_head_and_size(saved):
    model, path = saved
    loaded = load(path)
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(np.asarray(loaded(images)), np.asarray(model(images)))
    assert loaded.config.image_size == (32, 32)


def test_another_number_of_classes_makes_a_fresh_head_on_the_same_features(saved):
    model, path = saved
    loaded = load(path, classes=4)
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(np.asarray(loaded(images)), 0.25, atol=1e-7)
    features, expected = (keras.Model(m.input, m.features)(images) for m in (loaded, model))
    np.testing.assert_array_equal(np.asarray(features), np.asarray(expected))


def test_weights_are_resized_to_the_shape_asked_for(saved):
    _, path = saved
    assert load(path, input_shape=(48, 16, 3)).preprocessing.size == (48, 16)
    assert load(path, input_shape=(None, None, 3)).input.shape == (None, None, None, 3)
    assert load(path, include_top=False).output.shape == (None, 5, 12)


def test_weights_of_another_variant_are_refused_with_the_differences(saved):
    _, path = saved
    with pytest.raises(ValueError, match="hidden_size=12 in place of 384"):
        keras_vit.ViT_S16(weights=path)


@pytest.mark.parametrize(
    "name, arguments, weights, expected",
    [
        ("DeiT_S16", {"distilled": True}, "imagenet", "deit_small_distilled_patch16_224.fb_in1k"),
        ("DeiT_S16", {}, "imagenet", "deit_small_patch16_224.fb_in1k"),
        ("DINOv2_S14", {"registers": 4}, "lvd142m", "dinov2-with-registers-small"),
        ("DINOv2_S14", {}, "lvd142m", "dinov2-small"),
    ],
)
def test_a_general_name_of_weights_follows_the_familys_argument(
    name, arguments, weights, expected, monkeypatch
):
    fetched = []

    def fetch(address, **_):
        fetched.append(address)
        raise ConnectionError("no network in tests")

    monkeypatch.setattr("keras_vit.weights.lookup.fetch", fetch)
    with pytest.raises(ConnectionError):
        getattr(keras_vit, name)(weights=weights, **arguments)
    assert fetched[0].endswith(expected)
