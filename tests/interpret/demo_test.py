"""The page's one function, and the page where Gradio is installed."""

import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.interpret import demo
from keras_vit.interpret.looker import HEAD, RELEVANCE, ROLLOUT, Looker


@pytest.fixture(scope="module")
def looker():
    config = VisionTransformerConfig(
        image_size=8, patch_size=4, hidden_size=16, num_layers=2, num_heads=2, mlp_dim=24,
        num_classes=3,
    )  # fmt: skip
    return Looker(VisionTransformer(config, name="tiny"), ["ant", "bee", "cat"])


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


@pytest.mark.parametrize(
    "choices",
    [
        (ROLLOUT, demo.PREDICTED, 1, demo.ALL_HEADS),
        (RELEVANCE, "bee", 1, demo.ALL_HEADS),
        (HEAD, demo.PREDICTED, 0, "1"),
    ],
)
def test_a_picture_gets_scores_and_a_map(looker, picture, choices):
    scores, drawing, message = demo._answer(looker, picture, *choices)
    assert set(scores) == {"ant", "bee", "cat"}
    assert drawing.dtype == np.uint8 and message == ""


def test_no_picture_is_no_error(looker):
    assert demo._answer(looker, None, ROLLOUT, None, 1, None) == (
        None, None, "Drop a picture to begin.",
    )  # fmt: skip


def test_a_bad_picture_gets_a_message(looker, tmp_path):
    (tmp_path / "notes.png").write_text("hello")
    scores, drawing, message = demo._answer(
        looker, str(tmp_path / "notes.png"), ROLLOUT, None, 1, None
    )
    assert scores is None and drawing is None
    assert "did not work" in message and "looks like text" in message


def test_an_accident_gets_a_message_too_and_tells_no_secrets(looker, picture, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(looker, "draw", broken)
    _, drawing, message = demo._answer(looker, picture, ROLLOUT, None, 1, None)
    assert drawing is None and "did not work" in message and "secret" not in message


def test_the_page_is_built(looker):
    pytest.importorskip("gradio", reason="Gradio (extra demo) is not installed")
    assert type(demo.build_page(looker)).__name__ == "Blocks"


def test_without_gradio_it_says_what_to_install(looker, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ImportError, match=r"keras-vit\[demo\]"):
        demo.build_page(looker)
