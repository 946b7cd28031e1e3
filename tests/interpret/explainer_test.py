"""One picture in, classes and a map out."""

import io

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_vit import interpret
from keras_vit.interpret import explainer as explainer_module
from keras_vit.interpret.explainer import COLORS, HEAD, RELEVANCE, Explainer


@pytest.fixture(scope="module")
def explainer(make):
    return Explainer(make(num_classes=3), ["ant", "bee", "cat"])


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_a_picture_is_read_as_the_model_takes_it_and_as_it_is(explainer, picture):
    images, photo = explainer.read(picture)
    assert images.shape == (1, 8, 12, 3) and images.dtype == np.float32
    assert photo.shape == (40, 60, 3) and photo.dtype == np.uint8


def test_the_best_classes_come_with_their_scores(explainer, picture):
    images, _ = explainer.read(picture)
    scores = ops.convert_to_numpy(explainer.model(images))[0]
    best = explainer.best(images, top=2)
    assert [name for name, _ in best] == [["ant", "bee", "cat"][i] for i in np.argsort(-scores)[:2]]
    np.testing.assert_allclose([score for _, score in best], np.sort(scores)[:0:-1], rtol=1e-5)


def test_each_map_is_the_measure_it_names(explainer, picture):
    model, (images, _) = explainer.model, explainer.read(picture)
    maps = interpret.head_attention(model, images, 1)[0]
    for heat, expected in (
        (explainer.heat(images), interpret.saliency(model, images)[0]),
        (explainer.heat(images, RELEVANCE), interpret.class_relevance(model, images)[0]),
        (
            explainer.heat(images, "Attention rollout"),
            interpret.saliency(model, images, "rollout")[0],
        ),
        (
            explainer.heat(images, RELEVANCE, label="bee"),
            interpret.class_relevance(model, images, 1)[0],
        ),
        (explainer.heat(images, HEAD, block=1, head=0), maps[0]),
        (explainer.heat(images, HEAD, block=1), maps.mean(0)),
        (explainer.heat(images, COLORS), interpret.feature_pca(model, images)[0]),
    ):
        np.testing.assert_allclose(heat, expected, rtol=1e-5)


def test_a_model_without_class_token_or_head_can_be_looked_at(make, picture):
    explainer = Explainer(make("mean", num_classes=0))
    images, _ = explainer.read(picture)
    assert explainer.best(images) == []
    assert RELEVANCE not in explainer.measures
    foreground = interpret.feature_foreground(explainer.model, images)[0]
    np.testing.assert_allclose(
        explainer.heat(images, "Foreground"), foreground, rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="Received: 'Relevance for the class'"):
        explainer.heat(images, RELEVANCE)


def test_the_drawing_is_a_picture_that_follows_the_map(explainer, picture):
    images, photo = explainer.read(picture)
    first, second, colors = (
        explainer.draw(photo, explainer.heat(images, measure, block=block), "Block")
        for measure, block in ((HEAD, 0), (HEAD, 1), (COLORS, 0))
    )
    for drawing in (first, colors):
        assert drawing.dtype == np.uint8 and drawing.shape[2] == 3
    assert first.shape[1] > 600 and (first != second).any()


def test_names_that_occur_twice_are_told_apart(make):
    assert Explainer(make(num_classes=3), ["crane", "bee", "crane"]).labels == [
        "crane (class 0)", "bee", "crane (class 2)",
    ]  # fmt: skip


def _bytes(kind):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8")
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"text": b"hello", "empty": b"", "corrupt": buffer.getvalue()[:2000]}[kind]


@pytest.mark.parametrize(
    ("kind", "message"), [("text", "but text"), ("empty", "empty"), ("corrupt", "cut short")]
)
def test_what_is_no_picture_is_said(explainer, tmp_path, kind, message):
    path = tmp_path / "upload.png"
    path.write_bytes(_bytes(kind))
    with pytest.raises(ValueError, match=message):
        explainer.read(path)


def test_a_file_that_is_too_large_or_missing_is_said(explainer, picture, monkeypatch):
    monkeypatch.setattr(explainer_module, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="at most 0 MB"):
        explainer.read(picture)
    with pytest.raises(ValueError, match="cannot be read"):
        explainer.read(picture.with_name("missing.png"))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"measure": "X-ray"}, "Received: 'X-ray'"),
        ({"measure": RELEVANCE, "label": "dog"}, "Received: 'dog'"),
        ({"measure": HEAD, "block": 3}, "block numbers from 0 to 2"),
        ({"measure": HEAD, "block": 0, "head": 2}, "head from 0 to 1. Received: 2"),
    ],
)
def test_impossible_choices_are_an_error(explainer, picture, choice, message):
    with pytest.raises(ValueError, match=message):
        explainer.heat(explainer.read(picture).images, **choice)
