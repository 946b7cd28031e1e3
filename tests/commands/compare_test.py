"""`keras-vit compare`, of a checkout: a tiny ViT beside a small convolutional network."""

import json

import keras
import pytest

from benchmarks import candidates
from keras_vit.images.spec import Preprocessing


@pytest.fixture
def small_network(monkeypatch):
    """Stands in for the networks of keras.applications, which take half a minute to trace."""

    def build(spec, num_classes, **_):
        images = keras.Input((32, 32, 3))
        maps = keras.layers.Conv2D(8, 4, strides=4)(images)
        features = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(maps))
        model = keras.Model(images, keras.layers.Dense(num_classes)(features))
        model.preprocessing = Preprocessing(size=32)
        return model

    monkeypatch.setattr(candidates, "build_baseline", build)


@pytest.fixture(scope="module")
def photos(image_sets, tmp_path_factory):
    return image_sets.write_folder(tmp_path_factory.mktemp("compare") / "p", {"a": 20, "b": 20})


def test_two_models_are_trained_once_and_drawn(run, small_network, photos, tmp_path):
    flags = (f"--dataset={photos}", f"--output_dir={tmp_path}", "--image_size=16", "--model=digits",
             "--baseline=MobileNetV2:alpha=0.35", "--set", "batch_size=8", "--gflop=0.2",
             "--shares=1", "--seeds=1")  # fmt: skip
    result = run("compare", *flags)
    assert result.returncode == 0, result.stderr
    values = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["model"] for row in values["rows"]] == ["digits", "MobileNetV2:alpha=0.35"]
    for row in values["rows"]:
        assert row["steps"] > 0 and row["split"] == "validation"
        assert row["flops"] == row["steps"] * 3 * 8 * row["flops_an_image"]
        assert 0.2e9 - 3 * 8 * row["flops_an_image"] < row["flops"] <= 0.2e9
    table = (tmp_path / "comparison.md").read_text()
    assert table in result.stdout
    assert "| 100 % | digits |" in table
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    assert not list(tmp_path.glob("runs/*/model.keras"))
    results = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/result.json")}
    assert len(results) == 2

    again = run("compare", *flags)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("as found in") == 2
    assert results == {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*.json")
                       if path.name == "result.json"}  # fmt: skip
    assert (tmp_path / "comparison.md").read_text() == table


def test_an_unknown_baseline_is_one_line(run, photos, tmp_path):
    result = run(
        "compare", f"--dataset={photos}", f"--output_dir={tmp_path}", "--baseline=ResNet152V3"
    )
    assert result.returncode == 1
    assert "Error: Expected a model of keras.applications. Received: 'ResNet152V3'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
