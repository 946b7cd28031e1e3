"""What studies measure besides variants."""

import contextlib

import numpy as np
import pytest

import keras_vit
from benchmarks.subjects import OF_A_FILE, build_model, load_subject_model
from keras_vit.benchmark import Work
from keras_vit.benchmark.runner import Worker


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
    subject = build_model(Work(OF_A_FILE, model_file, batch_size=2))
    assert subject.infer().shape == (2, 3)
    assert np.all(np.isfinite(subject.train()))


def test_a_variant_has_a_random_head():
    assert np.std(load_subject_model("ViT_Ti16").get_layer("head").kernel) > 0.01


@pytest.mark.slow
def test_a_worker_opens_the_model_of_a_file(model_file):
    with contextlib.closing(Worker(Work(OF_A_FILE, model_file, batch_size=2))) as worker:
        assert worker.read()["build_s"] > 0 and worker.ask("infer")["seconds"] > 0
