"""Encoded images in a graph: the same as load_image, and one bad image harms no other."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.export import decoding
from keras_vit.images import graph_decoding as pixels
from keras_vit.images.pillow_decoding import decode_image, load_image
from keras_vit.images.spec import Preprocessing

LEVELS = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # keeps the values 0 to 255


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode(data):
    return pixels.decode_image(data)


@functools.cache
def in_graph(preprocessing):
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(
        lambda data: decoding.decode_batch(data, preprocessing),
        input_signature=signature,
        autograph=False,
    )


def picture(height=40, width=60):
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    return (np.stack([rows, columns, (1 - rows) * columns], -1) * 255).astype("uint8")


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def jpeg_header(width, height):
    data = bytearray(encode(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("L", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"),
     ("RGB", "BMP"), ("L", "BMP"), ("P", "BMP"), ("RGBA", "BMP"), ("P", "GIF"), ("L", "GIF"),
     ("RGB", "WEBP"), ("RGBA", "WEBP"), ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG")],
)  # fmt: skip
def test_pixels_agree_with_load_image(mode, kind):
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encode(Image.fromarray(picture()).convert(mode), kind, **options)
    difference = np.abs(decode(data).numpy().astype(int) - decode_image(data))
    assert difference.mean() < 1 if kind == "JPEG" else difference.max() == 0


def test_sixteen_bits_keep_the_high_byte():
    levels = np.array([[0, 255, 256, 1000], [32768, 40000, 65279, 65535]], "uint16")
    data = encode(Image.fromarray(levels))
    np.testing.assert_array_equal(decode(data).numpy()[..., 1], levels >> 8)
    np.testing.assert_array_equal(decode_image(data), decode(data).numpy())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_honoured(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture(), "JPEG", exif=exif, quality=95)
    expected = decode_image(data)
    result = decode(data).numpy()
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected).mean() < 1


@pytest.mark.parametrize(("channels", "resize"), [(1, "squash"), (3, "crop")])
def test_prepared_images_agree_with_load_image(channels, resize):
    levels = {name: value[:channels] for name, value in LEVELS.items()}
    preprocessing = Preprocessing((24, 32), "bicubic", resize, 0.9, **levels)
    data = [encode(picture(*shape)) for shape in [(50, 81), (33, 30)]]
    images, valid = in_graph(preprocessing)(tf.constant(data))
    assert images.dtype == tf.float32 and images.shape[1:] == (24, 32, channels)
    assert valid.numpy().all()
    for image, expected in zip(images.numpy(), data, strict=True):
        assert np.abs(image - load_image(expected, preprocessing)).max() < 1.5


BROKEN = {
    "empty": b"",
    "text": b"no image",
    "html": b"<!DOCTYPE html><html></html>",
    "svg": b"<svg/>",
    "tiff": encode(picture(), "TIFF"),
    "jpeg cut": encode(picture(200, 200), "JPEG")[:1500],
    "png cut": encode(picture())[:-200],
    "gif cut": encode(Image.fromarray(picture()).convert("P"), "GIF")[:-900],
    "webp cut": encode(picture(), "WEBP")[:60],
    "bmp cut": encode(picture(), "BMP")[:500],
    "png of 70,000 x 70,000": png_header(70_000, 70_000) + encode(picture())[33:],
    "png of 2**31 x 2**31": png_header(2**31, 2**31) + encode(picture())[33:],
    "jpeg of 60,000 x 60,000": jpeg_header(60_000, 60_000),
    "long body": encode(picture()) + b"\0" * pixels.MAX_BYTES,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_image_harms_no_other(kind):
    good = encode(picture())
    function = in_graph(Preprocessing(16))
    images, valid = function(tf.constant([good, BROKEN[kind], good]))
    assert valid.numpy().tolist() == [True, False, True]
    expected = load_image(good, Preprocessing(16))
    np.testing.assert_allclose(images[0], expected, atol=0.01)
    np.testing.assert_array_equal(images[0], images[2])
    assert not images[1].numpy().any()


def test_batches_of_none_one_and_only_bad_ones():
    function = in_graph(Preprocessing(16))
    images, valid = function(tf.constant([], tf.string))
    assert images.shape == (0, 16, 16, 3) and valid.shape == (0,)
    images, valid = function(tf.constant([encode(picture())]))
    assert images.shape == (1, 16, 16, 3) and valid.numpy().all()
    images, valid = function(tf.constant([b"", b"?"]))
    assert images.shape == (2, 16, 16, 3) and not valid.numpy().any()


def test_rows_keep_their_order_in_a_large_batch():
    values = np.random.default_rng(0).permutation(200).astype("uint8")
    data = [encode(np.full((5 + value % 40, 9, 3), value, "uint8")) for value in values]
    images, valid = in_graph(Preprocessing(16))(tf.constant(data))
    assert valid.numpy().all()
    levels = images.numpy().mean((1, 2, 3)) * 127.5 + 127.5
    np.testing.assert_allclose(levels, values, atol=0.01)
