"""One picture in, classes and a map out."""

import io

import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig, interpret
from keras_vit.interpret import explainer as explainer_module
from keras_vit.interpret.explainer import HEAD, RELEVANCE, ROLLOUT, Explainer

TINY = {
    "image_size": (8, 12), "patch_size": 4, "hidden_size": 16, "num_layers": 2, "num_heads": 2,
    "mlp_dim": 24, "num_classes": 3,
}  # fmt: skip


def make(**fields):
    model = VisionTransformer(VisionTransformerConfig(**{**TINY, **fields}))
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.standard_normal(variable.shape) * 0.3)
    return model


@pytest.fixture(scope="module")
def explainer():
    return Explainer(make(), ["ant", "bee", "cat"])


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_the_best_classes_come_with_their_scores(explainer, picture):
    images = explainer.read(picture)
    scores = ops.convert_to_numpy(explainer.model(images))[0]
    best = explainer.best(images, top=2)
    assert [name for name, _ in best] == [["ant", "bee", "cat"][i] for i in np.argsort(-scores)[:2]]
    np.testing.assert_allclose([score for _, score in best], np.sort(scores)[:0:-1], rtol=1e-5)


def test_each_map_is_the_measure_it_names(explainer, picture):
    model, images, relevance = explainer.model, explainer.read(picture), interpret.class_relevance
    (maps,) = interpret.attention_maps(model, images, [1])
    for heat, expected in (
        (explainer.heat(images), interpret.attention_rollout(model, images)[0]),
        (explainer.heat(images, RELEVANCE, label="bee"), relevance(model, images, 1)[0]),
        (explainer.heat(images, RELEVANCE), relevance(model, images)[0]),
        (explainer.heat(images, HEAD, block=1, head=0), maps[0, 0, 0, 1:].reshape(2, 3)),
        (explainer.heat(images, HEAD, block=1), maps[0, :, 0, 1:].mean(0).reshape(2, 3)),
    ):
        np.testing.assert_allclose(heat, expected, rtol=1e-5)


def test_a_model_without_class_token_or_head_can_be_looked_at(picture):
    explainer = Explainer(make(num_classes=0, class_token=False, pooling="gap"))
    images = explainer.read(picture)
    assert explainer.best(images) == [] and explainer.measures == (ROLLOUT, HEAD)
    (maps,) = interpret.attention_maps(explainer.model, images, [0])
    expected = maps[0, 1].mean(0).reshape(2, 3)
    np.testing.assert_allclose(explainer.heat(images, HEAD, block=0, head=1), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Received: 'Relevance for a class'"):
        explainer.heat(images, RELEVANCE)


def test_the_drawing_is_a_picture_that_follows_the_map(explainer, picture):
    images = explainer.read(picture)
    first, second = (
        explainer.draw(images, explainer.heat(images, HEAD, block=block), "Block")
        for block in (0, 1)
    )
    assert first.dtype == np.uint8 and first.shape[2] == 3 and first.shape[1] > 600
    assert (first != second).any()


def test_names_that_occur_twice_are_told_apart():
    assert Explainer(make(), ["crane", "bee", "crane"]).labels == [
        "crane (class 0)", "bee", "crane (class 2)",
    ]  # fmt: skip


def _bytes(kind):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8")
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"text": b"hello", "empty": b"", "corrupt": buffer.getvalue()[:2000]}[kind]


@pytest.mark.parametrize(
    ("kind", "message"), [("text", "looks like text"), ("empty", "empty"), ("corrupt", "broken")]
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
        ({"measure": HEAD, "block": 2}, "block numbers from 0 to 1"),
        ({"measure": HEAD, "block": 0, "head": 2}, "head from 0 to 1. Received: 2"),
    ],
)
def test_impossible_choices_are_an_error(explainer, picture, choice, message):
    with pytest.raises(ValueError, match=message):
        explainer.heat(explainer.read(picture), **choice)
