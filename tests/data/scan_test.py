"""The scan names every file that training could not decode, and no other."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from keras_vit.data import scan
from keras_vit.data.scan import check_images, unreadable_images


@pytest.fixture(
    params=[(scan._MANY, True), (1, True), (1, False)],
    ids=["one by one", "in one graph", "in a graph as it is"],
)
def _both_ways(request, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(scan, "_MANY", request.param[0])
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not request.param[1]})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **before})


@pytest.mark.few(1)
@pytest.mark.usefixtures("_both_ways")
def test_whole_images_of_every_kind_pass(tmp_path, image_sets):
    for suffix in (".png", ".jpg", ".gif", ".bmp", ".webp"):
        image_sets.write_folder(tmp_path / suffix[1:], {"a": 1}, suffix, size=(40, 30))
    (tmp_path / "grey.png").write_bytes(image_sets.encode(np.zeros((9, 9), np.uint8)))
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 6
    assert unreadable_images(files) == {}


def _jpeg_of(height, width):
    """A JPEG whose header says this size."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG")
    data = file.getvalue()
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


def _as(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


@pytest.mark.few(1)
@pytest.mark.usefixtures("_both_ways")
def test_every_file_that_training_would_refuse_is_named_with_its_reason(tmp_path, image_sets):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    jpeg = image_sets.encode(noise, "JPEG")
    contents = {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "a JPEG image cut short"),
        "cut.png": (image_sets.encode(noise)[:99], "a PNG image cut short"),
        "page.png": (b"<html>Not found</html>", "an HTML page"),
        "notes.txt": (b"remember the milk", "not an image but text"),
        "scan.tif": (_as("TIFF"), "a TIFF image"),
        "phone.avif": (_as("AVIF"), "an AVIF image"),
        "phone.heic": (b"\0\0\0\x18ftypheic" + b"\0" * 40, "a HEIC image"),
        "clip.mp4": (b"\0\0\0\x18ftypisom" + b"\0" * 40, "a video"),
        "wide.jpg": (_jpeg_of(8_100, 10_000), "a JPEG image of 10000 x 8100 pixels"),
        "rle.bmp": (_as("BMP")[:30] + b"\1" + _as("BMP")[31:], "packed by run lengths"),
    }
    for name, (data, _) in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**30)
    (tmp_path / "good.jpg").write_bytes(jpeg)
    found = unreadable_images(sorted(tmp_path.iterdir()))
    expected = {name: why for name, (_, why) in contents.items()} | {
        "empty.jpg": "an empty file",
        "inner": "a folder",
        "link.jpg": "a link to nothing",
        "huge.png": "a file of 1,073,741,824 bytes",
    }
    assert sorted(path.name for path in found) == sorted(expected)
    for path, reason in found.items():
        assert expected[path.name] in reason


def test_only_ten_files_are_named(tmp_path):
    paths = [tmp_path / f"{number:02d}.png" for number in range(13)]
    for path in paths:
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"Received 13 .*'09.png' \(not an .*\) and 3 more"):
        check_images(tmp_path, paths)
