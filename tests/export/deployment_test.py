"""The files beside the versions."""

import pytest

import keras_vit
from keras_vit.export.deployment import served_name, write_deployment


def tiny(**changes):
    config = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_layers": 1, "num_heads": 2,
              "mlp_dim": 16, "num_classes": 3} | changes  # fmt: skip
    return keras_vit.VisionTransformer(keras_vit.VisionTransformerConfig(**config))


def test_the_files_name_the_model(tmp_path):
    write_deployment(tmp_path / "my pets", tiny(), ["classify_bytes", "embed", "serving_default"])
    config = (tmp_path / "my pets" / "models.config").read_text()
    assert 'name: "my_pets"' in config and 'base_path: "/models/my_pets"' in config
    how_to = (tmp_path / "my pets" / "SERVING.md").read_text()
    assert "/v1/models/my_pets:predict" in how_to and "(batch, 16, 16, 3)" in how_to
    assert '{"b64": ' in how_to and "{name}" not in how_to and "{{" not in how_to
    assert "max_batch_size" in (tmp_path / "my pets" / "batching_parameters.txt").read_text()


def test_a_model_without_head_has_no_classification(tmp_path):
    write_deployment(tmp_path, tiny(num_classes=0), ["embed", "serving_default"])
    how_to = (tmp_path / "SERVING.md").read_text()
    assert "classify_bytes" not in how_to and "`features`" in how_to


def test_a_changed_file_is_kept(tmp_path):
    (tmp_path / "models.config").write_text("mine")
    write_deployment(tmp_path, tiny(), ["embed", "serving_default"])
    assert (tmp_path / "models.config").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "SERVING.md", "batching_parameters.txt", "models.config",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/digits", "digits"), ("a/b c/", "b_c"), ("/", "model"), ("x/日本", "model")],
)
def test_names_have_plain_characters(path, name):
    assert served_name(path) == name
