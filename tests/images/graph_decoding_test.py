"""A window of a JPEG is what decoding and then cutting gives; other images are cut."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.images.graph_decoding import decode_image, decode_window

BOX = (37, 50, 101, 130)


@pytest.fixture(scope="module")
def photo():
    """A real photo of 427 x 640 pixels."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("flower.jpg")


def _encode(pixels, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return tf.constant(buffer.getvalue())


def _window(data, box=BOX, **options):
    seen = []

    def choose(height, width):
        seen.append((height, width))
        return tf.constant(box)

    return decode_window(data, choose, **options).numpy().astype(float), seen


def _cut(data, box=BOX, channels=3):
    top, left, height, width = box
    whole = decode_image(data, channels).numpy().astype(float)
    return whole[top : top + height, left : left + width]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{"quality": 90}, {"subsampling": 0}, {"progressive": True}, {"quality": 30}],
    ids=["420", "444", "progressive", "coarse"],
)
def test_a_window_of_a_jpeg_is_the_cut_from_the_whole(photo, options, channels):
    data = _encode(photo, **options)
    result, _ = _window(data, channels=channels)
    expected = _cut(data, channels=channels)
    assert result.shape == expected.shape
    assert np.abs(result - expected).mean() < 0.2
    inner = (slice(2, -2), slice(2, -2))  # chroma at the edge has neighbours on one side only
    np.testing.assert_array_equal(result[inner], expected[inner])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WebP"])
def test_other_formats_are_cut_from_the_whole(photo, kind):
    data = _encode(photo, kind)
    np.testing.assert_array_equal(_window(data)[0], _cut(data))


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_window_of_a_photo_held_sideways_is_of_the_upright_image(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encode(photo, exif=exif)
    box = (400, 37, 100, 130)  # outside the picture as it is stored
    if orientation == 3:
        box = BOX
    np.testing.assert_array_equal(_window(data, box)[0], _cut(data, box))


def test_grey_and_cmyk_jpegs(photo):
    for image in (photo[..., 0], np.asarray(Image.fromarray(photo).convert("CMYK"))):
        mode = {2: "L", 3: "CMYK"}[image.ndim]
        buffer = io.BytesIO()
        Image.fromarray(image, mode).save(buffer, "JPEG")
        data = tf.constant(buffer.getvalue())
        np.testing.assert_array_equal(_window(data)[0][2:-2, 2:-2], _cut(data)[2:-2, 2:-2])


def test_the_whole_image_and_its_corner_are_windows(photo):
    data = _encode(photo)
    for box in ((0, 0, 427, 640), (426, 639, 1, 1), (0, 600, 427, 40)):
        assert _window(data, box)[0].shape == (box[2], box[3], 3)


@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
def test_a_large_window_is_decoded_at_a_fraction_of_its_size(photo, ratio):
    """Each pixel is about the mean of those that it stands for."""
    data, box = _encode(photo, quality=95), (16, 32, 400, 560)
    side = 400 // ratio
    result, _ = _window(data, box, min_size=(side, side))
    assert result.shape[:2] == (400 // ratio, 560 // ratio)
    means = _cut(data, box).reshape(400 // ratio, ratio, 560 // ratio, ratio, 3).mean(axis=(1, 3))
    assert np.abs(result - means).mean() < 1
    slightly_more, _ = _window(data, box, min_size=(side + 1, side))
    assert slightly_more.shape[0] == (400 // max(1, ratio // 2))


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"\xff\xd8\xff\xe0broken"])
def test_anything_else_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        _window(tf.constant(data))


def test_a_jpeg_cut_short_is_refused(photo):
    data = _encode(photo).numpy()
    with pytest.raises(tf.errors.InvalidArgumentError):
        _window(tf.constant(data[: len(data) // 3]), (400, 0, 20, 20))
