"""Image files written by hand, of kinds that Pillow does not write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip


def picture(height=37, width=53):
    """Returns uint8 (height, width, 3), another value in each place and channel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 6, columns * 4, rows * columns], -1).astype("uint8")


def encode(image, kind="PNG", **options):
    """Returns the bytes that Pillow writes of an array or image."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def in_mode(mode, pixels):
    """Returns a Pillow image of a mode, those with alpha of every transparency."""
    image = Image.fromarray(pixels)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(pixels[..., 2]))
        return image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, mode)).convert(mode)
    if mode in ("I", "I;16"):
        return Image.fromarray(pixels[..., 0] * np.array(257, "int32" if mode == "I" else "uint16"))
    return image.convert(mode)


def _bits(row, depth):
    """Packs samples of less than a byte."""
    bits = np.unpackbits(row.astype("uint8").reshape(-1, 1), axis=1)[:, -depth:]
    return np.packbits(bits).tobytes()


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width, height, depth=8, color=2, interlaced=0):
    body = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", body)


def png(samples, depth=8, color=2, *, interlaced=False, before=b"", after=b""):
    """Returns a PNG of any kind.

    Args:
        samples: (height, width, channels) integers below 2**depth.
        depth: 1, 2, 4, 8 or 16.
        color: PNG's number of the colour type.
        interlaced: whether by Adam7.
        before: chunks before the pixels.
        after: chunks behind them.
    """

    def line(row):
        if depth < 8:
            return _bits(row, depth)
        return row.astype(">u2" if depth == 16 else "u1").tobytes()

    def pack(part):
        return b"".join(b"\0" + line(row) for row in part)

    parts = [samples]
    if interlaced:
        parts = [samples[y::down, x::across] for x, y, across, down in ADAM7]
    packed = zlib.compress(b"".join(pack(part) for part in parts if part.size))
    pixels = b"".join(png_chunk(b"IDAT", packed[i : i + 50]) for i in range(0, len(packed), 50))
    header = png_header(samples.shape[1], samples.shape[0], depth, color, int(interlaced))
    return header + before + pixels + after + png_chunk(b"IEND", b"")


def bmp(pixels, bits, *, palette=(), header=40, packing=0, masks=(), top_first=False):
    """Returns a BMP of any kind.

    Args:
        pixels: (height, width) integers below 2**bits.
        bits: of a pixel.
        palette: colours (red, green, blue).
        header: its length; 12 is that of OS/2.
        packing: 0 for none, 3 for masks.
        masks: of red, green, blue and alpha.
        top_first: whether the rows go down.
    """
    height, width = pixels.shape
    entry = b"" if header == 12 else b"\0"
    table = b"".join(bytes(color[::-1]) + entry for color in palette)
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if top_first else height
        colors = len(palette) if len(palette) < 2**bits else 0
        head = struct.pack(
            "<IiiHHIIiiII", header, width, signed, 1, bits, packing, 0, 9, 9, colors, 0
        )
        words = b"".join(struct.pack("<I", mask) for mask in masks)
        head += words[:12] if header == 40 else words.ljust(header - 40, b"\0")
    stride = (width * bits + 31) // 32 * 4

    def line(row):
        if bits < 8:
            return _bits(row, bits)
        return b"".join(int(value).to_bytes(bits // 8, "little") for value in row)

    rows = pixels if top_first else pixels[::-1]
    body = b"".join(line(row).ljust(stride, b"\0") for row in rows)
    start = 14 + len(head) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + table + body


def blocks(data, size=255):
    """Returns data in GIF's sub-blocks."""
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def _lzw(indices, bits):
    """Packs so that no code grows: the table is cleared before it would."""
    codes = []
    for place, index in enumerate(indices):
        codes += [1 << bits] * (place % ((1 << bits) - 2) == 0) + [int(index)]
    number = sum(code << (bits + 1) * i for i, code in enumerate([*codes, (1 << bits) + 1]))
    return number.to_bytes((len(codes) + 1) * (bits + 1) // 8 + 1, "little")


def gif(indices, palette, *, screen=None, corner=(0, 0), before=b"", local=False, short=0):
    """Returns a GIF of one frame.

    Args:
        indices: (height, width) places in the palette.
        palette: 2, 4 or 8 colours.
        screen: (height, width); None for that of the frame.
        corner: (top, left) of the frame.
        before: extensions before it.
        local: whether the palette is the frame's own.
        short: bytes that its packed pixels lack.
    """
    size = len(palette).bit_length() - 2
    table = np.asarray(palette, "uint8").tobytes()
    height, width = screen or indices.shape
    flags, frame_flags = (0, 128 + size) if local else (128 + size, 0)
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0)
    frame = struct.pack("<HHHHB", corner[1], corner[0], *indices.shape[::-1], frame_flags)
    packed = _lzw(indices.ravel(), 3)
    start, frame = (start, frame + table) if local else (start + table, frame)
    packed = blocks(packed[: len(packed) - short])
    return start + before + b"," + frame + b"\3" + packed + b";"


def transparent(index):
    """Returns the extension that makes a colour of a GIF transparent."""
    return b"\x21\xf9\x04\x01\0\0" + bytes([index]) + b"\0"


def exif(orientation, order="<"):
    """Returns a directory of EXIF with nothing but the rotation."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "IHHHIHxxI", 8, 1, 0x0112, 3, 1, orientation, 0)


def with_segment(jpeg, body, marker=0xE1):
    """Puts a segment behind the start of a JPEG."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def progressive(height, width, scans):
    """Returns a small JPEG of any size that goes over its pixels many times."""
    data = encode(np.zeros((8, 8), "uint8"), "JPEG", progressive=True)
    start, last = data.index(b"\xff\xc2") + 5, data.rindex(b"\xff\xda")
    data = data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]
    return data[:last] + data[last:-2] * scans + data[-2:]
