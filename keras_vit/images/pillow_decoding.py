"""From a file or encoded bytes to the pixels of an image.

Read with Pillow, so that rotation marks and odd pixel formats come out as a viewer shows them.
"""

from __future__ import annotations

import io
import os
import pathlib
import warnings
from typing import Any

import numpy as np

from keras_vit.images.preprocessing import get_preprocessing, normalize, resize_plan
from keras_vit.images.spec import Preprocessing

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
MAX_PIXELS = 80_000_000
"""Larger images are refused before they are decoded: their header may lie."""


def load_image(source: str | os.PathLike | bytes, model_or_preprocessing: Any) -> np.ndarray:
    """Reads an image and makes it the input of a model.

    Args:
        source: path of a JPEG, PNG, GIF, BMP or WebP file, or its content as bytes.
        model_or_preprocessing: a `Preprocessing` of 1 or 3 channels, or a model that carries one.

    Returns:
        float32 array (*size, channels): rotated as its EXIF mark says, made RGB (or grey for one
        channel), resized, cropped and normalised. The resizing is Pillow's own, rounded to whole
        levels; `preprocess_input` agrees within half a level on average. Put several together with
        `np.stack`.

    Raises:
        ValueError: not such an image, a broken or too large one; the error names the file.
        OSError: the file cannot be read.
    """
    preprocessing = get_preprocessing(model_or_preprocessing)
    image = _open(source, len(preprocessing.mean))
    return normalize(_resize(image, preprocessing), preprocessing)


def decode_image(source: str | os.PathLike | bytes, channels: int = 3) -> np.ndarray:
    """Reads an image as it is.

    Grey, palette, CMYK and 16-bit images become RGB of 8 bits, transparency is dropped, the EXIF
    rotation is honoured, and of an animation the first frame is taken.

    Args:
        source: path of a JPEG, PNG, GIF, BMP or WebP file, or its content as bytes.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 array (height, width, channels).

    Raises:
        ValueError: not such an image, a broken one, one of more than `MAX_PIXELS` pixels, or other
            channels; the error names the file.
        OSError: the file cannot be read.
    """
    array = np.asarray(_open(source, channels))
    return array.reshape(*array.shape[:2], channels)


def _open(source: str | os.PathLike | bytes, channels: int):
    """Returns a decoded PIL image of mode L or RGB."""
    from PIL import Image, ImageOps

    if channels not in (1, 3):
        raise ValueError(
            "Expected preprocessing for 1 (grey) or 3 (RGB) channels, as image files have. "
            f"Received: {channels} channels. Give such arrays to `preprocess_input`."
        )
    data, name = _read(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our limit on pixels is the stricter one
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # Pillow's plugins raise many kinds
        raise ValueError(_complaint(name, _describe(data, error))) from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"Expected an image of at most {MAX_PIXELS:,} pixels. "
            f"Received: {name} of {image.width} x {image.height} pixels."
        )
    kind = image.format
    try:
        image = _to_eight_bits(ImageOps.exif_transpose(image))
        if "transparency" in image.info and image.mode == "P":
            image = image.convert("RGBA")
        image = image.convert("RGB")
    except Exception as error:
        raise ValueError(_complaint(name, f"a broken {kind} file ({error})")) from error
    return image.convert("L") if channels == 1 else image


def _read(source: Any) -> tuple[bytes, str]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return data, f"{len(data)} bytes"
    if isinstance(source, (str, os.PathLike)):
        return pathlib.Path(source).read_bytes(), repr(os.fspath(source))
    raise ValueError(f"Expected the path of an image, or its bytes. Received: {source!r}.")


def _to_eight_bits(image):
    """Keeps the high byte of 16-bit grey; Pillow's own conversion would clip at 255."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    levels = np.clip(np.asarray(image).astype("int64"), 0, 65535) >> 8
    return Image.fromarray(levels.astype("uint8"))


def _complaint(name: str, what: str) -> str:
    return f"Expected a JPEG, PNG, GIF, BMP or WebP image. Received: {name}, {what}."


def _describe(data: bytes, error: Exception) -> str:
    from PIL import Image

    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "which is empty"
    if isinstance(error, Image.DecompressionBombError):
        return f"an image of far more than {MAX_PIXELS:,} pixels"
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if head.startswith(b"%pdf"):
        return "a PDF document"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "a TIFF image"
    if not any(byte < 9 for byte in data[:512]):
        return "which looks like text"
    return f"which starts with {data[:8]!r}"


def _resize(image, preprocessing: Preprocessing) -> np.ndarray:
    """Resizes only what the crop keeps: a strip of 1 x 100,000 pixels stays small."""
    from PIL import Image

    height, width, top, left = resize_plan(image.height, image.width, preprocessing)
    out_height, out_width = preprocessing.size
    down, across = image.height / height, image.width / width
    box = (
        left * across,
        top * down,
        min((left + out_width) * across, image.width),
        min((top + out_height) * down, image.height),
    )
    kernel = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    image = image.resize((out_width, out_height), kernel[preprocessing.resampling], box=box)
    return np.asarray(image, "float32").reshape(out_height, out_width, -1)
