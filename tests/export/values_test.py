"""A regression leaves Python as values: in every form, from files, on the page."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit import export
from keras_vit.export.forms import FORMS
from keras_vit.export.warmup import encode_png
from keras_vit.interpret import page
from keras_vit.interpret.explainer import COLORS, Explainer

NAMES = ["age", "height"]


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(num_classes=2, values=[(40.0, 10.0), (170.0, 8.0)])


def test_a_served_model_tells_values_and_marks_what_is_no_image(model, tmp_path, images):
    path = export.saved_model(model, tmp_path, labels=NAMES)
    loaded = tf.saved_model.load(str(path))
    outputs = loaded.signatures["serving_default"](images=tf.constant(images))
    assert outputs.keys() == {"values"}
    np.testing.assert_allclose(outputs["values"], model(images), rtol=1e-5)
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype("uint8")
    answer = loaded.signatures["classify_bytes"](
        image_bytes=tf.constant([encode_png(picture), b"no image"])
    )
    assert answer.keys() == {"values", "valid"}
    assert answer["valid"].numpy().tolist() == [True, False]
    assert np.isnan(answer["values"][1]).all() and np.isfinite(answer["values"][0]).all()


@pytest.mark.parametrize("form", ["saved_model", "onnx", "litert", "openvino"])
def test_files_get_values_by_name(model, files, tmp_path, form):
    path = tmp_path / f"model{FORMS[form].suffix}"
    exported = FORMS[form].write(model, path, labels=NAMES)
    expected = list(export.classify_files(model, files, labels=NAMES))
    assert ["error" in result for result in expected] == [False, True, False, False, True]
    assert expected[0]["values"].keys() == set(NAMES)
    for one, other in zip(export.classify_files(exported, files), expected, strict=True):
        assert one.keys() == other.keys()
        assert one.get("values", {}) == pytest.approx(other.get("values", {}), rel=1e-4)
    assert export.open_exported(exported).metadata["output"] == "values"


def test_the_page_tells_values(model, files):
    scores, drawing, message = page.visit(Explainer(model, NAMES), files[0], COLORS, None, 1, None)
    assert scores is None and drawing.dtype == np.uint8
    assert message.startswith("**age: ") and "height" in message
