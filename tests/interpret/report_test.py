"""The report holds every picture, and nothing else is needed to read it."""

import html.parser
import re

import keras
import numpy as np
import pytest

from keras_vit import HybridConfig, VisionTransformer, VisionTransformerConfig
from keras_vit.interpret import report
from keras_vit.interpret.samples import Samples

TINY = {
    "image_size": (8, 12), "patch_size": 4, "hidden_size": 16, "num_layers": 2, "num_heads": 2,
    "mlp_dim": 24, "num_classes": 3,
}  # fmt: skip
EVERY = {
    "predictions", "measures", "rollout", "attention_heads", "attention_distance",
    "position_similarity", "embedding_filters", "report",
}  # fmt: skip


def make(classifier_activation="softmax", **fields):
    return VisionTransformer(
        VisionTransformerConfig(**{**TINY, **fields}), classifier_activation=classifier_activation
    )


def sample(**changes):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 12, 3)).astype("float32")
    return Samples(**{"images": images, "names": ("a.png", "b.png"), **changes})


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


def test_writes_all_pictures_and_one_page_that_holds_them(tmp_path):
    files = report.write(
        make(), sample(labels=(0, 2), class_names=("ant", "bee", "cat")), tmp_path / "new"
    )
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


def test_names_cannot_write_html(tmp_path):
    files = report.write(make(), sample(names=("<script>x</script>", 'b" onload="x')), tmp_path)
    text = files["report"].read_text(encoding="utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="slow; each measure is tested by itself"
)
@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"num_classes": 0}, {"predictions"}),
        ({"num_classes": 0, "pooling": "none", "class_token": False}, {"predictions"}),
        ({"pooling": "map", "class_token": False}, set()),
        (
            {"patch_size": 1, "hybrid": HybridConfig(stem_width=8, group_norm_groups=2)},
            {"embedding_filters"},
        ),
    ],
)
def test_leaves_out_what_has_no_meaning_for_a_model(tmp_path, fields, missing):
    assert set(report.write(make(**fields), sample(), tmp_path)) == EVERY - missing


def test_predict_returns_probabilities_whatever_the_activation():
    model, logits = make("softmax"), make(None)
    model.get_layer("head").kernel.assign(np.random.default_rng(1).standard_normal((16, 3)))
    logits.set_weights(model.get_weights())
    scores = report.predict(model, sample().images, batch_size=1)
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(report.predict(logits, sample().images), scores, rtol=1e-4)
    assert np.ptp(scores) > 0.01


def test_class_names_come_from_the_samples_or_imagenet_or_are_numbers():
    assert report.class_names_for(make(), sample(class_names=("a", "b", "c"))) == ["a", "b", "c"]
    assert report.class_names_for(make(), sample()) == ["0", "1", "2"]
    assert "golden retriever" in report.class_names_for(make(num_classes=1000), sample())


def test_another_number_of_names_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="3 classes. Received: 2 names"):
        report.write(make(), sample(class_names=("a", "b")), tmp_path)
