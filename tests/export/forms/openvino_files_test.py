"""OpenVINO's form: two files, and bfloat16 on request."""

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.exportable import Exportable
from keras_vit.export.forms import openvino_files

pytest.importorskip("openvino", reason="needs openvino")


def test_graph_and_weights_stand_side_by_side_and_run_in_bfloat16_too(exports, images):
    model, path = exports
    path = path("openvino")
    assert openvino_files.OPENVINO.files(path) == [path, path.with_suffix(".bin")]
    expected = Exportable(model).outputs(images)
    low = export.open_exported(path, precision="bf16")(images)
    np.testing.assert_allclose(low["probabilities"], expected["probabilities"], atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 0},
        {"dtype": "mixed_bfloat16"},
        {"activation": None, "mlp": "swiglu", "qk_norm": True},
        {"pooling": "map", "class_token": False, "gelu": "erf"},
    ],
)
def test_other_models_agree(tmp_path, make_model, images, changes):
    model = make_model(**changes)
    path = export.openvino(model, tmp_path / "model.xml", batch_size=2)
    outputs = export.open_exported(path)(images)
    for name, value in Exportable(model).outputs(images).items():
        share = 0.05 if "dtype" in changes else 1e-4
        np.testing.assert_allclose(outputs[name], value, atol=share * max(1, np.abs(value).max()))
