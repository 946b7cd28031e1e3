"""What is measured."""

import numpy as np
import pytest

import keras_vit
from keras_vit.benchmark import SUBJECTS, Work, available_peers
from keras_vit.benchmark.subjects import load_subject_model


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    config = keras_vit.VisionTransformerConfig(
        image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=3,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("run") / "model.keras"
    keras_vit.VisionTransformer(config).save(path)
    return str(path)


def test_our_subject_runs_a_model_of_a_file(model_file):
    subject = SUBJECTS["keras_vit"](Work("keras_vit", model_file, batch_size=2))
    assert subject.infer().shape == (2, 3)
    assert np.all(np.isfinite(subject.train()))


def test_a_variant_has_a_random_head():
    assert np.std(load_subject_model("ViT_Ti16").get_layer("head").kernel) > 0.01


def test_peers_have_our_models_only():
    assert available_peers("DINOv2_S14") == []


def test_peers_that_cannot_compute_in_a_type_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    in_float32, in_half = (available_peers("ViT_B16", dtype) for dtype in ("float32", "bfloat16"))
    assert set(in_float32) - set(in_half) == {"timm_onnxruntime"}
    assert available_peers("ViT_B16", "float16") == ["keras_hub"]
    assert "keras_hub" in available_peers("ViT_G14") and "timm" not in available_peers("ViT_G14")
