"""load_model: a .keras file as it was saved, and clear errors for anything else."""

import keras
import pytest

import keras_vit
from keras_vit.applications.model_files import display_name, load_model

CONFIG = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_layers": 1, "num_heads": 2,
          "mlp_dim": 16, "num_classes": 3}  # fmt: skip


def test_a_keras_file_keeps_activation_and_policy(tmp_path):
    config = keras_vit.VisionTransformerConfig(**CONFIG)
    model = keras_vit.VisionTransformer(
        config, classifier_activation="sigmoid", dtype="mixed_bfloat16"
    )
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.classifier_activation is keras.activations.sigmoid
    assert loaded.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.parametrize("kind", ["missing", "broken", "another model"])
def test_another_file_is_one_clear_error(tmp_path, kind):
    path = tmp_path / "model.keras"
    if kind == "broken":
        path.write_text("<html></html>")
    elif kind == "another model":
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    error = FileNotFoundError if kind == "missing" else ValueError
    with pytest.raises(error, match=r"Expected .*model\.keras'"):
        load_model(path)


@pytest.mark.parametrize("file", ["model.keras", "model.npz"])
def test_another_image_size_resizes_the_positions(tmp_path, file):
    config = keras_vit.VisionTransformerConfig(**CONFIG)
    model = keras_vit.VisionTransformer(config, classifier_activation=None)
    model.get_layer("head").bias.assign([1.0, 2.0, 3.0])
    if file.endswith("keras"):
        model.save(tmp_path / file)
    else:
        keras_vit.save_checkpoint(model, tmp_path / file, layout="google")
    resized = load_model(tmp_path / file, image_size=32)
    assert resized.config.image_size == resized.preprocessing.size == (32, 32)
    assert resized.input_shape == (None, 32, 32, 3)
    embedding = resized.get_layer("patch_encoder").position_embedding
    assert embedding.shape[-2] == 17
    assert resized.get_layer("head").bias.numpy().tolist() == [1.0, 2.0, 3.0]
    if file.endswith("keras"):
        assert resized.classifier_activation is keras.activations.linear
        assert load_model(tmp_path / file, image_size=16).config == config
    with pytest.raises(ValueError, match="30"):
        load_model(tmp_path / file, image_size=30)


@pytest.mark.parametrize(
    "file, name",
    [("ants/checkpoints/best.safetensors", "ants"), ("vit/model.safetensors", "vit"),
     ("vit/ViT-B_16.npz", "ViT-B_16"), ("hf://owner/vit", "owner/vit")],
)  # fmt: skip
def test_a_file_of_a_common_name_is_called_by_its_folder(file, name):
    assert display_name(None, file) == name
