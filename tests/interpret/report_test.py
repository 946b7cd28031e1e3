"""The report holds every picture, and nothing else is needed to read it."""

import html.parser
import re

import numpy as np
import pytest

from keras_vit import VisionTransformer, interpret
from keras_vit.interpret import pictures, report
from keras_vit.interpret.samples import Samples

EVERY = {
    "predictions", "measures", "heads", "map", "attention_heads", "attention_distance",
    "position_similarity", "embedding_filters", "report",
}  # fmt: skip


def sample(**changes):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 12, 3)).astype("float32")
    return Samples(**{"images": images, "names": ("a.png", "b.png"), **changes})


def test_artifacts_are_left_out_of_all_maps_on_request(make, monkeypatch):
    model, found = make(num_classes=3), np.zeros((2, 2, 3), bool)
    found[:, 0, 1] = True
    monkeypatch.setattr(pictures, "artifact_patches", lambda *_, **__: found)
    whole, less = (pictures.look(model, sample(), leave_out_artifacts=out) for out in (False, True))
    for name, values in less.maps.items():
        plain = whole.maps[name]
        if "rollout" in name:
            first = int(name == "late_rollout")
            plain = interpret.attention_rollout(
                model, sample().images, first_block=first, left_out=found
            )
        np.testing.assert_allclose(values[~found], plain[~found], rtol=1e-5)
        around = np.delete(plain.reshape(2, 6), 1, axis=1).mean(axis=1)
        np.testing.assert_allclose(values[:, 0, 1], around, rtol=1e-5)


class Page(html.parser.HTMLParser):
    """Collects what a browser would have to fetch."""

    def __init__(self):
        super().__init__()
        self.sources, self.tags, self.alternatives = [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.sources += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            self.alternatives.append(attributes["alt"])


def test_writes_all_pictures_and_one_page_that_holds_them(tmp_path, make):
    """Names with all that HTML and matplotlib could take for their own."""
    photo = np.full((40, 60, 3), 99, "uint8")
    given = sample(
        labels=(0, 2), class_names=("$ant^", "<b>bee", "cat"), photos=(photo, photo[:20]),
        names=("<script>x</script>", 'b" onload="$x'),
    )  # fmt: skip
    files = report.write(make(num_classes=3), given, tmp_path / "new", name="ViT <i>$_x$")
    assert set(files) == EVERY
    for name, path in files.items():
        start = b"<!DOCTYPE html>" if name == "report" else b"\x89PNG"
        assert path.read_bytes().startswith(start)
    text = files["report"].read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert len(page.sources) == len(EVERY) - 1
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(page.alternatives) and "script" not in page.tags
    assert not re.search(r"https?://", text)
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "<title>ViT &lt;i&gt;$_x$</title>" in text and "<h1>ViT &lt;i&gt;$_x$</h1>" in text


def written(model, given=None):
    return [picture.name for picture in pictures.pictures(model, given or sample())]


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("no pooling, no class token", {"predictions"}),
        ("probe", set()),
        ("hybrid", {"embedding_filters"}),
    ],
)
def test_leaves_out_what_has_no_meaning_for_a_model(make, kind, missing):
    assert set(written(make(kind))) == EVERY - missing - {"report"}


@pytest.mark.slow
def test_all_images_stand_in_the_pictures_with_their_whole_names(make):
    name = "a photo with quite a long name, taken on a Sunday in the garden.jpeg"
    given = sample(images=np.zeros((6, 8, 12, 3), "float32"), names=(name,) * 6)
    drawn = {one.name: one.draw for one in pictures.pictures(make(), given)}
    for picture in ("measures", "heads"):
        figure = drawn[picture]()
        words = [text.get_text().replace("\n", " ") for axes in figure.axes for text in axes.texts]
        assert sum(name in text for text in words) == 6


def test_the_map_that_leads_is_shown_first_and_frames_its_strongest_patch(make):
    given = sample()
    for model in (make(), make("no pooling")):
        seen = pictures.look(model, given)
        expected = interpret.saliency(model, given.images)
        np.testing.assert_allclose(seen.leading, expected, rtol=1e-4, atol=1e-6)


def test_predict_returns_probabilities_whatever_the_activation(make):
    model = make()
    scores = pictures.predict(model, sample().images, batch_size=1)
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-5)
    logits = VisionTransformer(model.config, classifier_activation=None)
    logits.set_weights(model.get_weights())
    np.testing.assert_allclose(pictures.predict(logits, sample().images), scores, rtol=1e-4)
    assert np.ptp(scores) > 0.01


def test_class_names_come_from_the_samples_or_imagenet_or_are_numbers(make):
    model, given = make(num_classes=3), sample(class_names=("a", "b", "c"))
    assert pictures.class_names_for(model, given.class_names) == ["a", "b", "c"]
    assert pictures.class_names_for(model) == ["0", "1", "2"]
    assert "golden retriever" in pictures.class_names_for(make(num_classes=1000))


def test_another_number_of_names_is_an_error(make):
    with pytest.raises(ValueError, match="3 classes. Received: 2 names"):
        written(make(num_classes=3), sample(class_names=("a", "b")))
