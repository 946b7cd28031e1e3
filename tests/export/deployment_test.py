"""The files beside the versions."""

import base64
import json
import shutil
import subprocess

import pytest

from keras_vit.export.deployment import served_name, write_deployment

SHAPE = (None, 16, None, 3)
CLASSIFIER = {
    "signatures": ["classify_bytes", "embed", "serving_default"],
    "outputs": ["logits", "probabilities"],
}
FEATURES = {"signatures": ["embed", "serving_default"], "outputs": ["features"]}


def test_the_files_name_the_model(tmp_path):
    write_deployment(tmp_path / "my pets", SHAPE, CLASSIFIER)
    config = (tmp_path / "my pets" / "models.config").read_text()
    assert 'name: "my_pets"' in config and 'base_path: "/models/my_pets"' in config
    how_to = (tmp_path / "my pets" / "SERVING.md").read_text()
    assert "/v1/models/my_pets:predict" in how_to and "(batch, 16, any, 3)" in how_to
    assert "`logits` and `probabilities`" in how_to
    assert '{"b64": ' in how_to and "{name}" not in how_to and "{{" not in how_to
    compose = (tmp_path / "my pets" / "compose.yaml").read_text()
    assert "--model_config_file=/models/my_pets/models.config\n" in compose
    assert "- .:/models/my_pets:ro\n" in compose and '- "8501:8501"\n' in compose
    assert "max_batch_size" in (tmp_path / "my pets" / "batching_parameters.txt").read_text()


def test_the_request_by_rest_is_json_in_any_shell(tmp_path):
    """The text between `-d @- <<END` and END, which the shell fills in with portable tools."""
    shell = shutil.which("sh")
    if not shell or not shutil.which("base64"):
        pytest.skip("needs a shell and base64")
    write_deployment(tmp_path, SHAPE, CLASSIFIER)
    content = bytes(range(256)) * 10
    (tmp_path / "photo.jpg").write_bytes(content)
    text = (tmp_path / "SERVING.md").read_text()
    body = text.split("<<END\n")[1].split("END\n")[0]
    script = f"cat <<END\n{body}END\n".replace("\n    ", "\n")
    result = subprocess.run([shell, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    (value,) = json.loads(result.stdout)["inputs"]["image_bytes"]
    assert base64.b64decode(value["b64"]) == content
    assert "base64 -" not in text  # no option is the same everywhere


def test_a_model_without_head_has_no_classification(tmp_path):
    write_deployment(tmp_path, SHAPE, FEATURES)
    how_to = (tmp_path / "SERVING.md").read_text()
    assert "classify_bytes" not in how_to and "`features`" in how_to


def test_a_changed_file_is_kept(tmp_path):
    (tmp_path / "models.config").write_text("mine")
    write_deployment(tmp_path, SHAPE, FEATURES)
    assert (tmp_path / "models.config").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "SERVING.md", "batching_parameters.txt", "compose.yaml", "models.config",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/digits", "digits"), ("a/b c/", "b_c"), ("/", "model"), ("x/日本", "model")],
)
def test_names_have_plain_characters(path, name):
    assert served_name(path) == name
