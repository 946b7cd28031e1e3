"""`keras-vit evaluate`, on a model as loaded from disk."""

import json

import pytest

from keras_vit import VisionTransformer, VisionTransformerConfig


@pytest.fixture(scope="module")
def folder(image_sets, tmp_path_factory):
    """A model of two classes that always says the first, and photos of both."""
    folder = tmp_path_factory.mktemp("evaluate")
    image_sets.write_folder(folder / "photos", {"cat": 10, "dog": 20})
    config = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=1,
                                     num_heads=2, mlp_dim=8, num_classes=2)  # fmt: skip
    model = VisionTransformer(config)
    model.get_layer("head").bias.assign([1.0, 0.0])
    model.save(folder / "model.keras")
    return folder


def test_the_figures_stand_beside_the_baselines(run, folder, tmp_path):
    result = run("evaluate", f"--model={folder / 'model.keras'}", f"--dataset={folder / 'photos'}",
                 f"--output_dir={tmp_path}")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "measured on validation" in result.stdout
    assert "accuracy 33.33 %" in result.stdout  # two cats of six
    assert "3-NN on pixels" in result.stdout and "RBF SVM on pixels" in result.stdout
    values = json.loads((tmp_path / "evaluation.json").read_text())
    assert values["split"] == "validation"
    assert values["top1"] == pytest.approx(1 / 3)
    assert values["confusion"] == [[2, 0], [4, 0]]
    assert values["baselines"]["3-NN on pixels"] == 1.0
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 1000


def test_a_missing_model_is_one_line(run, folder):
    result = run("evaluate", "--model=no.keras", f"--dataset={folder / 'photos'}")
    assert result.returncode == 1
    assert "Received: 'no.keras', which is not there." in result.stderr
    assert "Traceback" not in result.stderr


def test_probes_stand_in_the_same_record(run, folder, tmp_path):
    result = run("evaluate", f"--model={folder / 'model.keras'}", f"--dataset={folder / 'photos'}",
                 f"--output_dir={tmp_path}", "--nobaselines", "--probes=all", "--k=1,99",
                 "--shots=1,25", "--seeds=2")  # fmt: skip
    assert result.returncode == 0, result.stderr
    for line in ("accuracy 33.33 %", "Frozen features of 8 numbers; 24 images to learn from",
                 "linear probe", "left out: 99-NN", "25 shots: class 'cat' has 8"):  # fmt: skip
        assert line in result.stdout
    values = json.loads((tmp_path / "evaluation.json").read_text())
    assert values["top1"] == pytest.approx(1 / 3)
    assert [row["k"] for row in values["probes"]["knn"]] == [1]
    assert len(values["probes"]["few_shot"][0]["accuracies"]) == 2
    assert 0 <= values["probes"]["linear"]["accuracy"] <= 1


def test_a_model_without_head_has_its_features_measured_alone(run, folder, tmp_path):
    config = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=1,
                                     num_heads=2, mlp_dim=8, num_classes=0,
                                     pooling="none")  # fmt: skip
    VisionTransformer(config).save(tmp_path / "tower.keras")
    flags = (f"--model={tmp_path / 'tower.keras'}", f"--dataset={folder / 'photos'}")
    result = run("evaluate", *flags, "--probes=knn", "--k=1", "--tokens=mean")
    assert result.returncode == 0, result.stderr
    assert "its features alone are measured" in result.stdout
    values = json.loads((tmp_path / "evaluation.json").read_text())
    assert "top1" not in values and values["probes"]["linear"] is None
    assert not (tmp_path / "confusion_matrix.png").exists()
    result = run("evaluate", *flags)
    assert result.returncode == 1
    assert "Expected a model with 2 classes" in result.stderr and "--probes=all" in result.stderr
