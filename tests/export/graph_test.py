"""The graph behind the signatures."""

import numpy as np
import pytest

import keras_vit
from keras_vit.export.graph import ServedModel


def tiny(**changes):
    config = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_layers": 1, "num_heads": 2,
              "mlp_dim": 16, "num_classes": 3} | changes  # fmt: skip
    return keras_vit.VisionTransformer(keras_vit.VisionTransformerConfig(**config))


def test_only_the_weights_are_tracked():
    model = tiny()
    served = ServedModel(model, ["a", "b", "c"], 5, None)
    served.signatures()
    assert len(served.module.variables) == len(model.weights)
    assert list(served.module._trackable_children()) == ["model_weights"]


def test_all_signatures_share_one_graph():
    signatures = ServedModel(tiny(), ["a", "b", "c"], 5, None).signatures()
    for concrete in signatures.values():
        assert sum(op.type == "MatMul" for op in concrete.graph.get_operations()) == 0
        calls = [op for op in concrete.graph.get_operations() if "PartitionedCall" in op.type]
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"serving_default", "embed", "classify_bytes"}),
        ({"in_channels": 1}, {"serving_default", "embed", "classify_bytes"}),
        ({"in_channels": 4}, {"serving_default", "embed"}),
        ({"num_classes": 0}, {"serving_default", "embed"}),
    ],
)
def test_signatures_follow_the_model(changes, expected):
    model = tiny(**changes)
    labels = [str(column) for column in range(model.config.num_classes)]
    assert ServedModel(model, labels, 5, None).signatures().keys() == expected


def test_a_served_graph_reads_the_weights_as_they_are():
    model = tiny()
    signature = ServedModel(model, ["a", "b", "c"], 5, None).signatures()["serving_default"]
    images = np.ones((1, 16, 16, 3), "float32")
    model.get_layer("head").bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(signature(images=images)["logits"], [[1, 2, 3]], atol=1e-6)
