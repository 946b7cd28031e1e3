"""Images for the eye, tiles, and figures in files."""

import numpy as np
import pytest
from PIL import Image

from keras_vit.images.preprocessing import normalize
from keras_vit.images.spec import Preprocessing
from keras_vit.interpret.canvas import check_image, displayable, mosaic, new_figure, save


@pytest.mark.parametrize("channels", [1, 3])
def test_displayable_undoes_the_normalisation(channels):
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, channels)).astype("float32")
    preprocessing = Preprocessing(size=(4, 5), mean=mean, std=std)
    shown = displayable(normalize(pixels, preprocessing), preprocessing)
    np.testing.assert_allclose(shown, pixels / 255, atol=1e-6)


def test_displayable_without_preprocessing_stretches():
    shown = displayable(np.array([[[-2.0], [2.0]], [[0.0], [1.0]]]))
    np.testing.assert_allclose(shown[..., 0], [[0, 1], [0.5, 0.75]])


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_displayable_keeps_one_or_three_channels(channels, shown):
    images = np.random.default_rng(0).random((2, 4, 4, channels))
    assert displayable(images, Preprocessing()).shape == (2, 4, 4, shown)


def test_whole_levels_are_taken_as_they_are():
    levels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), "uint8")
    np.testing.assert_allclose(check_image("image", levels), levels / 255, rtol=1e-6)


def test_mosaic_separates_tiles_and_says_where_they_are():
    tiles = np.arange(6, dtype="float32").reshape(2, 3, 1, 1) * np.ones((2, 3, 30, 40), "float32")
    canvas, rows, columns = mosaic(tiles)
    for row in range(2):
        for column in range(3):
            assert canvas[round(rows[row]), round(columns[column])] == 3 * row + column
    assert np.isnan(canvas[30, 0]) and np.isnan(canvas[0, 40])
    assert np.isfinite(canvas).sum() == 6 * 30 * 40


def test_mosaic_enlarges_small_tiles():
    canvas, rows, _ = mosaic(np.array([[[[1.0, 2.0], [3.0, 4.0]]]] * 2))
    assert canvas.shape == (2 * 24 + 2, 24) and canvas[0, 0] == 1 and canvas[23, 23] == 4
    assert len(rows) == 2


def test_save_writes_the_picture_and_nothing_else(tmp_path):
    path = save(new_figure(2, 1), tmp_path / "new" / "figure.png", dpi=50)
    assert Image.open(path).size == (100, 50)
    assert [file.name for file in path.parent.iterdir()] == ["figure.png"]


def test_a_failed_save_keeps_what_was_there(tmp_path, monkeypatch):
    figure = new_figure(2, 1)
    path = save(figure, tmp_path / "figure.png")
    before = path.read_bytes()

    def broken(target, **_):
        target.write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        save(figure, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("name", ["figure", "figure.docx"])
def test_an_unknown_suffix_is_an_error(tmp_path, name):
    with pytest.raises(ValueError, match="suffix of `path`.*png.*Received"):
        save(new_figure(2, 1), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), r"Received: shape \(4, 4\)"),
        (np.zeros((4, 4, 2)), r"Received: shape \(4, 4, 2\)"),
        (np.full((4, 4, 3), 255.0), r"values in \[255, 255\]"),
    ],
)
def test_images_not_for_the_eye_are_an_error(image, message):
    with pytest.raises(ValueError, match=message):
        check_image("image", image)
