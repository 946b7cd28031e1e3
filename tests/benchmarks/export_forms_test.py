"""Exported forms side by side."""

import numpy as np
import pytest

import keras_vit
from benchmarks import export_forms
from benchmarks.photos import sample_pictures
from benchmarks.subjects import load_subject_model


def test_forms_without_their_tools_are_left_out(monkeypatch):
    monkeypatch.setattr(export_forms.importlib.util, "find_spec", lambda name: name == "tensorflow")
    assert [form.name for form in export_forms.available_forms()] == ["saved_model"]


@pytest.mark.slow
def test_a_form_of_each_runtime_is_compared_and_timed(workers_here, tmp_path):
    config = keras_vit.VisionTransformerConfig(
        image_size=16, patch_size=8, hidden_size=32, num_layers=1, num_heads=2, mlp_dim=32,
        num_classes=5,
    )  # fmt: skip
    model = keras_vit.VisionTransformer(config)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    path = str(tmp_path / "model.keras")
    model.save(path)
    images = sample_pictures(load_subject_model(path), 12)
    labels = model(images).numpy().argmax(-1)
    installed = {form.needs: form for form in reversed(export_forms.available_forms())}.values()
    result = export_forms.measure_exported(
        path, images, labels=labels, batch_size=4, repeats=2, forms=[*installed]
    )
    names = ["keras", *(form.name for form in installed)]
    assert [row["form"] for row in result["rows"]] == names
    for row in result["rows"]:
        agreement = row["agreement"]
        assert len(row["infer_s"]) == 2 and row["size_mb"] > 0 and row["memory_mib"] >= 0
        assert agreement["accuracy"] == agreement["top1_agreement"] > 0.5
        assert agreement["max_difference"] < 1e-4 and agreement["cosine"] > 0.99999
    assert len(export_forms.format_exported(result).splitlines()) == 3 + len(names)


WORK = {"model": "ViT_X", "batch_size": 4, "gflop_per_image": 10.0,
        "machine": {"processor": "Abacus", "cores": 2}, "matrix_product_gflops": 100.0}  # fmt: skip


def test_the_table():
    row = {"form": "onnx", "size_mb": 346.12, "export_s": 9.0, "load_s": 0.5, "infer_s": [2.0]}
    agreement = {"max_difference": 1e-6, "cosine": 0.99999, "top1_agreement": 0.5}
    row |= {"memory_mib": 512.0, "agreement": agreement}
    table = export_forms.format_exported({**WORK, "images": 16, "rows": [row]})
    assert "compared on 16 images" in table and "accuracy" not in table
    assert table.splitlines()[-1].split()[1:] == [
        "346.1", "9.0", "0.50", "2.00", "2.00-2.00", "512", "1.0e-06", "0.99999", "50.0%",
    ]  # fmt: skip
    agreement["accuracy"] = 0.25
    assert export_forms.format_exported({**WORK, "images": 16, "rows": [row]}).endswith("25.0%")
