"""What is measured."""

from keras_vit.benchmark import available_peers


def test_peers_have_our_models_only():
    assert available_peers("DINOv2_S14") == []


def test_peers_that_cannot_compute_in_a_type_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    in_float32, in_half = (available_peers("ViT_B16", dtype) for dtype in ("float32", "bfloat16"))
    assert set(in_float32) - set(in_half) == {"timm_onnxruntime"}
    assert available_peers("ViT_B16", "float16") == ["keras_hub"]
    assert "keras_hub" in available_peers("ViT_G14") and "timm" not in available_peers("ViT_G14")
