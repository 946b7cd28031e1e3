"""Cuts of photographs: as many as asked for, the same for a seed, each of its part of a region."""

import numpy as np
import pytest
from PIL import Image

from keras_vit.data.photo_crops import find_photograph, write_crops, write_photographs

pytest.importorskip("skimage")


def test_cuts_are_where_they_should_be_and_repeat(tmp_path):
    write_crops(tmp_path / "one", count=2, seed=3)
    write_crops(tmp_path / "two", count=2, seed=3)
    names = sorted(path.relative_to(tmp_path / "one") for path in tmp_path.glob("one/*/*/*.png"))
    assert len(names) == 16 * 3
    assert {name.parts[0] for name in names} == {"train", "val"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    stars = np.asarray(Image.open(find_photograph("hubble_deep_field.jpg")).convert("RGB"))
    left, right = stars[:, :700], stars[:, 700:]
    for part, whole, other in (("train", left, right), ("val", right, left)):
        cut = np.asarray(Image.open(tmp_path / "one" / part / "stars" / "000.png"))
        assert _holds(whole, cut) and not _holds(other, cut)


def _holds(whole, cut):
    """Says whether a picture has these pixels somewhere."""
    side = len(cut)
    starts = np.argwhere((whole[: 1 - side, : 1 - side] == cut[0, 0]).all(axis=-1))
    return any((whole[y : y + side, x : x + side] == cut).all() for y, x in starts)


def test_whole_photographs_are_written(tmp_path):
    write_photographs(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"chelsea.jpg", "china.jpg", "coffee.jpg"} <= names
    assert Image.open(tmp_path / "chelsea.jpg").size == (451, 300)
