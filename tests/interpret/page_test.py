"""The page's one function, and the page where Gradio is installed."""

import numpy as np
import pytest
from PIL import Image

from keras_vit.interpret import page
from keras_vit.interpret.explainer import COLORS, HEAD, RELEVANCE, Explainer


@pytest.fixture(scope="module")
def explainer(make):
    return Explainer(make(num_classes=3), ["ant", "bee", "cat"])


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


@pytest.mark.parametrize(
    "choices",
    [
        (COLORS, page.PREDICTED, 1, page.ALL_HEADS),
        (RELEVANCE, "bee", 1, page.ALL_HEADS),
        (HEAD, page.PREDICTED, 0, "1"),
    ],
)
def test_a_picture_gets_scores_and_a_map(explainer, picture, choices):
    scores, drawing, message = page.visit(explainer, picture, *choices)
    assert set(scores) == {"ant", "bee", "cat"}
    assert message == "" and drawing.dtype == np.uint8


def test_no_picture_is_no_error(explainer):
    assert page.visit(explainer, None, RELEVANCE, None, 1, None) == (
        None, None, "Drop a picture to begin.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "shown", "chosen"),
    [(None, None, None), ([], 1, None), (["a"], None, "a"), (["a", "b"], 1, "b"), (["a"], 1, "a")],
)
def test_one_of_several_files_is_shown(paths, shown, chosen):
    assert page.shown_file(paths, shown) == chosen


def test_a_bad_picture_gets_a_message(explainer, tmp_path):
    (tmp_path / "notes.png").write_text("hello")
    scores, drawing, message = page.visit(
        explainer, str(tmp_path / "notes.png"), RELEVANCE, None, 1, None
    )
    assert scores is None and drawing is None
    assert "did not work" in message and "but text" in message


def test_an_accident_gets_a_message_too_and_tells_no_secrets(explainer, picture, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(explainer, "draw", broken)
    _, drawing, message = page.visit(explainer, picture, RELEVANCE, None, 1, None)
    assert drawing is None and "did not work" in message and "secret" not in message


def test_the_page_is_built(explainer):
    pytest.importorskip("gradio", reason="Gradio (extra demo) is not installed")
    assert type(page.build_page(explainer)).__name__ == "Blocks"


def test_without_gradio_it_says_what_to_install(explainer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ImportError, match=r"keras-vit\[demo\]"):
        page.build_page(explainer)
