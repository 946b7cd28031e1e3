"""classify_files: the same words from a Keras model and from its exports."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.forms import FORMS
from keras_vit.images.pillow_decoding import load_image

LABELS = ["ant", "bee", "cow", "dog"]


def scores(model, files, **options):
    return [
        {p["label"]: p["score"] for p in result["predictions"]}
        for result in export.classify_files(model, files, **options)
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_files_in_order_and_broken_ones_named(exports, files, batch_size, tmp_path):
    model = exports[0]
    paths = [*files, tmp_path / "nowhere.png", tmp_path]
    results = list(export.classify_files(model, paths, labels=LABELS, batch_size=batch_size))
    assert [result["file"] for result in results] == [str(path) for path in paths]
    assert ["error" in result for result in results] == [False, True, False, False, *[True] * 3]
    for index, name in ((1, "1.png"), (4, "4.png"), (5, "nowhere.png"), (6, str(tmp_path))):
        assert name in results[index]["error"]
    for index in (0, 2, 3):
        expected = model(load_image(files[index], model)[None]).numpy()[0]
        order = np.argsort(-expected)
        predictions = results[index]["predictions"]
        assert [p["label"] for p in predictions] == [LABELS[column] for column in order]
        np.testing.assert_allclose([p["score"] for p in predictions], expected[order], atol=1e-5)


@pytest.mark.parametrize("kind", [str, Path])
def test_one_file_need_not_be_in_a_list(exports, files, kind):
    model = exports[0]
    (alone,) = export.classify_files(model, kind(files[0]), labels=LABELS)
    assert [alone] == list(export.classify_files(model, files[:1], labels=LABELS))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_the_same(exports, files, name):
    model, path = exports
    expected = list(export.classify_files(model, files, top=3, labels=LABELS))
    for got, wanted in zip(export.classify_files(path(name), files, top=3), expected, strict=True):
        assert got.keys() == wanted.keys() and got["file"] == wanted["file"]
        for one, other in zip(
            got.get("predictions", []), wanted.get("predictions", []), strict=True
        ):
            assert (one["class"], one["label"]) == (other["class"], other["label"])
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_logits_become_probabilities(make_model, files):
    (expected,) = scores(make_model(), files[:1], labels=LABELS)
    (found,) = scores(make_model(activation=None), files[:1], labels=LABELS)
    assert found == pytest.approx(expected, abs=1e-6)


def test_one_logit_is_the_probability_of_its_class(make_model, files):
    model = make_model(activation=None, num_classes=1)
    logits = model(np.stack([load_image(files[index], model) for index in (0, 2)]))
    found = [score["cat"] for score in scores(model, [files[0], files[2]], labels=["cat"])]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.ravel(logits))), atol=1e-6)
    assert max(found) < 0.99


def test_layers_before_the_images_prepare_them_alone(make_model, files):
    rescaled = keras.layers.Rescaling(1 / 127.5, -1)(keras.Input((16, 24, 3)))
    (expected,) = scores(make_model(), files[:1], labels=LABELS)
    (found,) = scores(make_model(input_tensor=rescaled), files[:1], labels=LABELS)
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_users_own_model_is_read_as_it_is_meant(make_model, fill, files):
    backbone = make_model(num_classes=0)
    own = [keras.Input((16, 24, 3)), backbone, keras.layers.Dense(4, activation="sigmoid")]
    model = fill(keras.Sequential(own))
    expected = model(load_image(files[0], backbone)[None]).numpy()[0]
    (found,) = scores(model, files[:1], labels=LABELS)
    assert found == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-5)


def test_what_cannot_be_classified_is_refused(make_model, exports, files):
    with pytest.raises(ValueError, match="with a head"):
        list(export.classify_files(make_model(num_classes=0), files))
    with pytest.raises(ValueError, match="labels="):
        list(export.classify_files(exports[0], files))
    with pytest.raises(ValueError, match="has its own"):
        list(export.classify_files(exports[1]("saved_model"), files, labels=LABELS))
    with pytest.raises(ValueError, match="no saved_model.pb"):
        list(export.classify_files(files[0].parent, files))
