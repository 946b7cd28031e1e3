"""Format, size and rotation, read from the header in a graph."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.images import header as image_header

KINDS = ["JPEG", "BMP", "GIF", "PNG", "WEBP"]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def read(data):
    kind = image_header.image_kind(data)
    return kind, *image_header.image_size(data, kind)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def orientation(data):
    return image_header.exif_orientation(image_header.jpeg_exif(data))


def encode(kind, size=(300, 517), mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size[::-1]).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (300, 517), (513, 255)])
@pytest.mark.parametrize("kind", KINDS)
def test_kind_and_size(kind, size):
    code, height, width = (value.numpy() for value in read(encode(kind, size)))
    assert code == getattr(image_header, kind)
    assert (height, width) == size


@pytest.mark.parametrize(
    "options",
    [{"lossless": True}, {"quality": 50}, {"mode": "RGBA", "quality": 50}, {"exif": b"Exif\0\0MM"}],
)
def test_every_layout_of_webp(options):
    data = encode("WEBP", (301, 402), **options)
    assert [int(value) for value in read(data)[1:]] == [301, 402]


def test_an_animated_webp_has_the_size_of_its_screen():
    frames = [Image.fromarray(np.full((9, 7, 3), value, "uint8")) for value in (0, 255)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    assert [int(value) for value in read(buffer.getvalue())[1:]] == [9, 7]


def test_a_bmp_whose_top_row_comes_first():
    data = bytearray(encode("BMP", (30, 40)))
    data[22:26] = struct.pack("<i", -30)
    assert [int(value) for value in read(bytes(data))[1:]] == [30, 40]


@pytest.mark.parametrize("data", [b"", b"\0", b"<html></html>", b"RIFF....WAVE" + b"\0" * 30])
def test_anything_else_is_unknown(data):
    assert [int(value) for value in read(data)] == [image_header.UNKNOWN, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_cut_short_is_no_crash(kind):
    data = encode(kind)
    for length in (3, 9, 13, 20, 26):
        try:
            read(data[:length])
        except tf.errors.InvalidArgumentError:
            assert kind == "JPEG"


def exif(byte_order, value, before=()):
    entries = [(tag, 3, 1, 7) for tag in before] + [(0x0112, 3, 1, value), (0x011A, 3, 1, 9)]
    packed = [struct.pack(byte_order + "HHIHxx", *entry) for entry in entries]
    mark = b"II*\0" if byte_order == "<" else b"MM\0*"
    table = struct.pack(byte_order + "H", len(entries)) + b"".join(packed) + b"\0" * 4
    return b"Exif\0\0" + mark + struct.pack(byte_order + "I", 8) + table


@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation(byte_order, value):
    data = encode("JPEG", exif=exif(byte_order, value, before=(0x010F, 0x0110)))
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == value
    assert orientation(data).numpy() == value


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_senseless_orientation_is_upright(value):
    assert orientation(encode("JPEG", exif=exif("<", value))).numpy() == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        encode("JPEG"),
        b"\xff\xd8Exif\0\0",
        b"\xff\xd8Exif\0\0II*\0\xff\xff\xff\xff",
        b"\xff\xd8Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"\xff\xd8Exif\0\0MM\0*\xff\xff\xff\xff\0\0",
    ],
)
def test_without_a_readable_mark_it_is_upright(data):
    assert orientation(data).numpy() == 1
