"""Models of ours and of others are loaded with their preprocessing."""

import json

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.evaluation.classifiers import count_classes, load_classifier
from keras_vit.images.spec import Preprocessing

GREY = Preprocessing(size=8, mean=(0.25,), std=(0.5,))


def test_a_transformer_brings_its_own(tmp_path):
    sizes = {"image_size": 8, "patch_size": 4, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2}
    config = VisionTransformerConfig(in_channels=1, num_layers=1, num_classes=3, **sizes)
    VisionTransformer(config, preprocessing=GREY).save(tmp_path / "model.keras")
    model = load_classifier(tmp_path / "model.keras")
    assert model.preprocessing == GREY
    assert count_classes(model) == 3
    assert count_classes(VisionTransformer(config.replace(num_classes=0))) is None


def test_any_other_model_is_read_with_the_summary_beside_it(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(4)])  # fmt: skip
    path = tmp_path / "model.keras"
    model.save(path)
    with pytest.raises(ValueError, match="holds a Sequential"):
        load_classifier(path)
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"preprocessing": GREY.to_dict()}))
    loaded = load_classifier(path)
    assert loaded.preprocessing == GREY
    assert count_classes(loaded) == 4
    images = np.ones((1, 8, 8, 1), "float32")
    np.testing.assert_allclose(loaded.predict_on_batch(images), model.predict_on_batch(images))
    summary.write_text("{}")
    with pytest.raises(ValueError, match="`preprocessing` in"):
        load_classifier(path)


def test_a_broken_or_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.keras"):
        load_classifier(tmp_path / "none.keras")
    (tmp_path / "summary.json").write_text(json.dumps({"preprocessing": GREY.to_dict()}))
    (tmp_path / "broken.keras").write_text("no model")
    with pytest.raises(ValueError, match="broken.keras"):
        load_classifier(tmp_path / "broken.keras")
