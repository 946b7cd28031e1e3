"""The metadata of an exported form comes back, or is an error that names its file."""

import numpy as np
import pytest

import keras_vit
from keras_vit.export.exportable import Exportable
from keras_vit.export.metadata import read_metadata, write_metadata
from keras_vit.images.spec import Preprocessing


def test_it_comes_back_from_a_file_and_from_a_folder(tmp_path, make_model):
    model = make_model(num_layers=np.int64(1), layer_norm_epsilon=np.float32(1e-6))
    (tmp_path / "1").mkdir()
    for path, file in (("a.onnx", "a.onnx.json"), ("1", "1/metadata.json")):
        write_metadata(tmp_path / path, Exportable(model), ["é"] * 4, {"format": "x"})
        assert (tmp_path / file).exists()
        values = read_metadata(tmp_path / path)
        assert values["labels"] == ["é"] * 4 and values["format"] == "x"
        assert values["keras_vit_version"] == keras_vit.__version__
        assert Preprocessing.from_dict(values["preprocessing"]) == model.preprocessing
        assert keras_vit.VisionTransformerConfig.from_dict(values["config"]) == model.config


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_what_is_missing_or_broken_is_an_error(tmp_path, text):
    if text is not None:
        (tmp_path / "a.onnx.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.onnx\.json.*Received"):
        read_metadata(tmp_path / "a.onnx")
