"""The graph behind the signatures."""

import numpy as np
import pytest

from keras_vit.export.exportable import Exportable
from keras_vit.export.graph import signatures, weights_of

LABELS = ["a", "b", "c", "d"]


def test_signatures_share_one_graph_and_read_the_weights_as_they_are(make_model):
    model = make_model()
    exportable = Exportable(model)
    functions, module = signatures(exportable, LABELS, 5), weights_of(exportable)
    assert functions.keys() == {"serving_default", "embed", "classify_bytes"}
    assert len(module.variables) == len(model.weights)
    assert list(module._trackable_children()) == ["model_weights"]
    for concrete in functions.values():
        assert sum(op.type == "MatMul" for op in concrete.graph.get_operations()) == 0
        calls = [op for op in concrete.graph.get_operations() if "PartitionedCall" in op.type]
        assert len(calls) == 1
    images = np.ones((1, 16, 24, 3), "float32")
    model.get_layer("head").kernel.assign(np.zeros((64, 4)))
    model.get_layer("head").bias.assign([1.0, 2.0, 3.0, 4.0])
    logits = functions["serving_default"](images=images)["logits"]
    np.testing.assert_allclose(logits, [[1, 2, 3, 4]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"in_channels": 4}, {"serving_default", "embed"}),
        ({"num_classes": 0}, {"serving_default", "embed"}),
    ],
)
def test_signatures_follow_the_model(make_model, changes, expected):
    exportable = Exportable(make_model(**changes))
    names = exportable.names(None)
    assert signatures(exportable, names, 5).keys() == expected
