"""The probes of a model, with and without head, from its images to a table."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.evaluation import probe
from keras_vit.images.spec import Preprocessing

METHODS = ("knn", "linear", "few_shot")


def row_model():
    """Sees how bright each row is, which tells the class; it has no head."""
    images = keras.Input((8, 8, 1))
    model = keras.Model(images, keras.ops.mean(images, axis=(2, 3)))
    model.preprocessing = Preprocessing(size=8, mean=(0.5,), std=(0.5,))
    return model


def test_all_methods_learn_from_the_training_split(image_sets):
    data = image_sets.data_in_memory(train=60, test=20)
    result = probe(row_model(), data, "test", k=[1, 3], shots=[15, 25], seeds=range(2))
    assert (result.width, result.train_images, result.test_images) == (8, 60, 20)
    assert [row["weighted"] for row in result.knn] == [1.0, 1.0]
    assert result.linear["accuracy"] == 1.0
    assert [row["accuracy"] for row in result.few_shot] == [1.0, 1.0]
    assert len(result.few_shot[0]["accuracies"]) == 2
    assert result.skipped == []
    table = result.table()
    for line in ("3-NN, weighted", "linear probe (C = ", "few-shot regression, 25 a class"):
        assert line in table
    assert json.loads(json.dumps(result.to_dict()))["knn"][1]["k"] == 3


@pytest.mark.slow
def test_what_the_images_do_not_allow_is_left_out_and_said(image_sets):
    data = image_sets.data_in_memory(train=3)
    result = probe(row_model(), data, "test", k=[1, 4], shots=[1, 2])
    assert [row["k"] for row in result.knn] == [1]
    assert [row["shots"] for row in result.few_shot] == [1]
    assert result.linear is None
    assert len(result.skipped) == 3
    assert "left out: 4-NN: there are 3 training images" in result.table()
    assert "left out: 2 shots: class 'b' has 1 training images" in result.table()
    assert "left out: linear probe" in result.table()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_alone(image_sets, method):
    result = probe(row_model(), image_sets.data_in_memory(), "test", methods=[method], k=[1])
    done = {"knn": bool(result.knn), "linear": result.linear is not None,
            "few_shot": bool(result.few_shot)}  # fmt: skip
    assert [name for name, is_done in done.items() if is_done] == [method]


def test_the_probes_of_a_transformer_with_a_head_for_other_classes(image_sets):
    sizes = {"image_size": 8, "patch_size": 4, "hidden_size": 8, "mlp_dim": 8}
    config = VisionTransformerConfig(
        in_channels=1, num_layers=1, num_heads=2, num_classes=7, **sizes
    )
    keras.utils.set_random_seed(0)
    model = VisionTransformer(config)
    first = probe(model, image_sets.data_in_memory(), "test", k=[1])
    assert first.width == 8
    assert np.isfinite(first.linear["accuracy"])
    assert first == probe(model, image_sets.data_in_memory(), "test", k=[1], batch_size=7)


def test_what_cannot_be_measured_is_refused(image_sets):
    data = image_sets.data_in_memory()
    with pytest.raises(ValueError, match="held out"):
        probe(row_model(), data, "train")
    with pytest.raises(ValueError, match="splits of 'easy'"):
        probe(row_model(), dataclasses.replace(data, train=None), "test")
    with pytest.raises(ValueError, match="`method` to be one of"):
        probe(row_model(), data, "test", methods=["svm"])
