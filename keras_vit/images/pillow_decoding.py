"""From a file or encoded bytes to the pixels of an image, decoded by Pillow.

`graph_decoding` does the same in TensorFlow: the same pixels, or both refuse.
"""

import io
import os
import pathlib
import warnings
from typing import Any

import numpy as np

from keras_vit.images.containers import (
    MAX_BYTES,
    MAX_PIXELS,
    Container,
    Refused,
    check_scans,
    open_container,
)
from keras_vit.images.preprocessing import get_preprocessing, normalize, seen_box
from keras_vit.images.spec import Preprocessing


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

    Grey, palette, CMYK and 16-bit images become RGB of 8 bits, transparency is dropped (what shows
    through a GIF is black), the EXIF rotation is honoured, and of an animation the first frame is
    taken.

    Args:
        source: path of a JPEG, PNG, GIF, BMP or WebP file, or its content as bytes.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 array (height, width, channels).

    Raises:
        ValueError: not such an image, a broken one, one of more than `MAX_PIXELS` pixels or
            `MAX_BYTES` bytes, one made to take long, a BMP packed by run lengths, or other
            channels; the error names the file.
        OSError: the file cannot be read.
    """
    array = np.asarray(_open(source, channels))
    return array.reshape(*array.shape[:2], channels)


def why_refused(data: bytes) -> str | None:
    """Says in a few words why the content of a file cannot be decoded, or None if it can."""
    try:
        _decode(data)
    except Refused as error:
        return str(error)
    return None


def _open(source: str | os.PathLike | bytes, channels: int):
    """Returns a decoded PIL image of mode L or RGB."""
    if channels not in (1, 3):
        raise ValueError(
            "Expected preprocessing for 1 (grey) or 3 (RGB) channels, as image files have. "
            f"Received: {channels} channels. Give such arrays to `preprocess_input`."
        )
    data, name = _read(source)
    try:
        image = _decode(data)
    except Refused as error:
        raise ValueError(
            "Expected a JPEG, PNG, GIF, BMP or WebP image of at most "
            f"{MAX_PIXELS:,} pixels and {MAX_BYTES:,} bytes. Received: {name}, {error}."
        ) from error
    return image.convert("L") if channels == 1 else image


def _read(source: Any) -> tuple[bytes, str]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return data, f"{len(data)} bytes"
    if isinstance(source, (str, os.PathLike)):
        return pathlib.Path(source).read_bytes(), repr(os.fspath(source))
    raise ValueError(f"Expected the path of an image, or its bytes. Received: {source!r}.")


def _decode(data: bytes):
    """Returns an upright PIL image of mode RGB, or raises `Refused`."""
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    plugins = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
    }
    container = open_container(data)
    if container.canvas:
        _check_pixels(container.kind, *container.canvas)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is read of EXIF and not used
            image = plugins[container.kind](io.BytesIO(container.data))
    except Exception as error:  # Pillow's plugins raise many kinds
        raise Refused(f"a broken {container.kind} image ({error})") from error
    _check_pixels(container.kind, image.height, image.width)
    if container.kind == "JPEG":
        check_scans(data, image.height * image.width)
    try:
        return _upright(_to_rgb(image, container), container.orientation)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"a broken {container.kind} image ({error})") from error


def _check_pixels(kind: str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise Refused(f"a {kind} image of {width} x {height} pixels")


def _to_rgb(image: Any, container: Container):
    """Decodes an image; where Pillow and TensorFlow differ, as both can."""
    from PIL import Image

    if container.kind == "GIF":
        return _first_frame(image, container)
    image.load()
    if image.mode.startswith("I"):  # the high byte of 16 bits; Pillow's own would clip at 255
        levels = np.clip(np.asarray(image).astype("int64"), 0, 65535) >> 8
        image = Image.fromarray(levels.astype("uint8"))
    if image.mode == "CMYK":
        light = np.asarray(image, "uint16")
        if "adobe" in image.info:  # whose files alone hold light instead of ink
            light = 255 - light
        image = Image.fromarray((light[..., :3] * light[..., 3:] // 255).astype("uint8"))
    image = image.convert("RGB")
    if not container.canvas:
        return image
    screen = Image.new("RGB", container.canvas[::-1])
    screen.paste(image, container.corner[::-1])
    return screen


def _first_frame(image: Any, container: Container):
    """Puts the frame of a GIF on a black screen; what is transparent is black too."""
    from PIL import Image

    left, top, right, bottom = image.tile[0].extents
    transparent = image.info.get("transparency")
    indices = np.asarray(image)[top:bottom, left:right]
    if ((indices >= container.colors) & (indices != transparent)).any():
        raise Refused("a GIF image of colours that its palette lacks")
    colors = np.repeat(np.arange(256, dtype="uint8")[:, None], 3, axis=1)
    if image.mode == "P":
        known = np.reshape(image.getpalette("RGB"), (-1, 3))
        colors[: len(known)] = known
    if transparent is not None:
        colors[transparent] = 0
    screen = np.zeros((*container.canvas, 3), "uint8")
    screen[top:bottom, left:right] = colors[indices]
    return Image.fromarray(screen)


def _upright(image: Any, orientation: int):
    from PIL import Image

    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
        6: turn.ROTATE_270, 7: turn.TRANSVERSE, 8: turn.ROTATE_90,
    }  # fmt: skip
    return image.transpose(turns[orientation]) if orientation in turns else image


def _resize(image, preprocessing: Preprocessing) -> np.ndarray:
    """Resizes only what the crop keeps: a strip of 1 x 100,000 pixels stays small."""
    from PIL import Image

    box = seen_box(image.height, image.width, preprocessing)
    out_height, out_width = preprocessing.size
    kernel = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    image = image.resize((out_width, out_height), kernel[preprocessing.resampling], box=box)
    return np.asarray(image, "float32").reshape(out_height, out_width, -1)
