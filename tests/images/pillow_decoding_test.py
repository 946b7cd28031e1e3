"""load_image: every kind of file that it takes, and one clear error for all others."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_vit.images import pillow_decoding as images
from keras_vit.images.containers import MAX_BYTES
from keras_vit.images.pillow_decoding import decode_image, load_image
from keras_vit.images.preprocessing import preprocess_input
from keras_vit.images.spec import Preprocessing

LEVELS = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # keeps the values 0 to 255


def picture(height=40, width=60):
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    channels = [rows, columns, (1 - rows) * columns]
    return (np.stack(channels, -1) * 255).astype("uint8")


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, depth=8, color=0, rows=b""):
    """A PNG written by hand, for headers and depths that Pillow does not write."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_every_format_gives_its_pixels(kind):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    result = decode_image(encode(picture(), kind, **options))
    assert result.dtype == np.uint8 and result.shape == (40, 60, 3)
    difference = np.abs(result.astype(int) - picture())
    assert difference.mean() < 2 if kind == "JPEG" else difference.max() == 0


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("P", "BMP"),
     ("CMYK", "JPEG"), ("L", "JPEG"), ("P", "GIF"), ("RGBA", "WEBP"), ("1", "BMP")],
)  # fmt: skip
def test_every_mode_becomes_rgb(mode, kind):
    converted = Image.fromarray(picture()).convert(mode)
    expected = np.asarray(converted.convert("RGB"), int)
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    result = decode_image(encode(converted, kind, **options)).astype(int)
    assert np.abs(result - expected).mean() < (2 if kind == "JPEG" else 0.01)


def test_transparent_palettes_keep_their_colours():
    palette = Image.fromarray(picture()).convert("P")
    expected = np.asarray(palette.convert("RGB"))
    data = encode(palette, transparency=bytes(range(256)))
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("color", [0, 2])
def test_sixteen_bits_keep_the_high_byte(color):
    levels = np.array([[0, 255, 256, 1000], [32768, 40000, 65279, 65535]], ">u2")
    samples = np.repeat(levels, 3 if color == 2 else 1, axis=-1)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    result = decode_image(png(4, 2, depth=16, color=color, rows=rows))
    np.testing.assert_array_equal(result, np.repeat((levels >> 8)[..., None], 3, axis=-1))


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.fromarray(np.full((8, 8, 3), value, "uint8")) for value in (255, 0)]
    for kind in ("GIF", "WEBP"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode_image(data).min() > 250


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_rotation_is_honoured(orientation, kind):
    upright = picture()
    turns = {  # how a camera that held the sensor so stored the upright picture
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: upright.swapaxes(0, 1)[::-1],
        7: upright[::-1, ::-1].swapaxes(0, 1), 8: upright.swapaxes(0, 1)[:, ::-1],
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation]))
    options = {"quality": 100} if kind == "JPEG" else {}
    result = decode_image(encode(stored, kind, exif=exif, **options))
    assert result.shape == upright.shape
    assert np.abs(result.astype(int) - upright).mean() < 2


def test_grey_models_get_one_channel():
    grey = Preprocessing(16, mean=(0.5,), std=(0.5,))
    data = encode(picture())
    assert load_image(data, grey).shape == (16, 16, 1)
    expected = np.asarray(Image.fromarray(picture()).convert("L"))
    np.testing.assert_array_equal(decode_image(data, channels=1)[..., 0], expected)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels):
    preprocessing = Preprocessing(16, mean=(0.5,) * channels, std=(0.5,) * channels)
    with pytest.raises(ValueError, match=f"Received: {channels} channels"):
        load_image(encode(picture()), preprocessing)


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(120, 90), (33, 210)])
def test_load_image_agrees_with_preprocess_input(resize, resampling, shape):
    preprocessing = Preprocessing((32, 48), resampling, resize, 0.9, **LEVELS)
    loaded = load_image(encode(picture(*shape)), preprocessing)
    assert loaded.dtype == np.float32
    prepared = np.asarray(preprocess_input(picture(*shape), preprocessing))
    assert np.abs(loaded - prepared).max() < 1.5


def test_load_image_resizes_and_cuts_as_pillow_does():
    whole = Image.fromarray(picture(100, 150)).resize((72, 48), Image.Resampling.BICUBIC)
    expected = np.asarray(whole, "float32")[2:46, 14:58]
    result = load_image(
        encode(picture(100, 150)), Preprocessing(44, "bicubic", "crop", 0.9, **LEVELS)
    )
    assert np.abs(result - expected).max() <= 1 and np.abs(result - expected).mean() < 0.05


def test_a_thin_strip_is_not_blown_up():
    strip = encode(np.zeros((1, 60_000, 3), "uint8"))
    assert load_image(strip, Preprocessing(224, resize="crop")).shape == (224, 224, 3)


def test_paths_and_bytes_are_the_same(tmp_path):
    path = tmp_path / "a photo.png"
    path.write_bytes(encode(picture()))
    preprocessing = Preprocessing(16)
    for source in (str(path), path, bytearray(path.read_bytes())):
        np.testing.assert_array_equal(
            load_image(source, preprocessing), load_image(path, preprocessing)
        )


BROKEN = {
    "empty": (b"", "empty"),
    "html": (b"<!DOCTYPE html><html></html>", "HTML"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "text": (b"label,file\n1,a.png\n", "text"),
    "binary": (bytes(range(64)), "starts with"),
    "tiff": (encode(picture(), "TIFF"), "TIFF"),
    "jpeg cut": (encode(picture(200, 200), "JPEG")[:1500], "JPEG"),
    "png cut": (encode(picture())[:-200], "PNG"),
    "png header": (encode(picture())[:20], ""),
    "gif cut": (encode(Image.fromarray(picture()).convert("P"), "GIF")[:-900], "GIF"),
    "webp cut": (encode(picture(), "WEBP")[:60], ""),
    "bmp cut": (encode(picture(), "BMP")[:500], "BMP"),
    "avif": (b"\0\0\0\x20ftypavif", "an AVIF image"),
    "bomb": (png(70_000, 70_000), "a PNG image of 70000 x 70000 pixels"),
    "long": (encode(picture()) + b"\0" * MAX_BYTES, "a file of 33,5"),
    "large": (png(10_000, 10_000), "10000 x 10000 pixels"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_anything_else_is_one_clear_error_with_the_file_name(kind, tmp_path):
    content, what = BROKEN[kind]
    path = tmp_path / "my file.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"Expected an? .*Received: '.*my file\.jpg'.*{what}"):
        load_image(path, Preprocessing(16))
    with pytest.raises(ValueError, match=rf"Received: {len(content)} bytes"):
        load_image(content, Preprocessing(16))


def test_the_pixel_limit_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 40 * 60 - 1)
    with pytest.raises(ValueError, match="at most 2,399 pixels.* PNG image of 60 x 40 pixels"):
        decode_image(encode(picture()))


def test_missing_files_and_wrong_types(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        decode_image(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="path of an image"):
        decode_image(7)
