"""What stands around the pixels of an image file, and what is refused before it is decoded.

Plain Python, for `pillow_decoding`. `header`, `chunks`, `gif` and `webp` follow the same rules
inside a TensorFlow graph, so that both take the same files. A file cannot make a loop longer or a
piece of memory larger than a limit here.
"""

import dataclasses
import struct
import zlib
from collections.abc import Iterator

MAX_BYTES = 32 * 2**20
"""Longer files are refused."""
MAX_PIXELS = 80_000_000
"""Larger images are refused before they are decoded: their header may lie."""
MAX_PARTS = 1 << 14
"""Most chunks of a PNG or WebP, and runs of blocks of a GIF up to the end of its first frame."""
MAX_RUN = 64
"""So many blocks of the same length in a row count as one run."""
MAX_SCANNED_PIXELS = 2_000_000_000
"""Most pixels of a JPEG times its scans: a progressive one may go over them again and again."""

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_SCAN = b"\xff\xda\x00"
"""How the header of a scan begins; nothing else in packed pixels does."""
JPEG_END = b"\xff\xd9"
EXIF_MARK = b"Exif\0\0"
EXIF_WINDOW = 1 << 16
"""The mark stands in the first segment of a JPEG, at most 64 KiB long."""
MAX_EXIF_ENTRIES = 512
ORIENTATION_TAG = 0x0112
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
OS2_HEADER = 12


class Refused(ValueError):
    """An image that is not decoded; the text says what it is, to follow "Received: FILE, "."""


@dataclasses.dataclass(frozen=True)
class Container:
    """An image file taken apart.

    Attributes:
        kind: `"JPEG"`, `"PNG"`, `"GIF"`, `"BMP"` or `"WebP"`.
        data: what is to be decoded: one picture.
        orientation: EXIF's, 1 to 8.
        canvas: (height, width) in pixels of the screen on which the picture stands, black where it
            does not cover it; None if it is the picture's own.
        corner: (top, left) of the picture on that screen.
        colors: entries in the palette of a GIF.
    """

    kind: str
    data: bytes
    orientation: int = 1
    canvas: tuple[int, int] | None = None
    corner: tuple[int, int] = (0, 0)
    colors: int = 0


def open_container(data: bytes) -> Container:
    """Takes the content of an image file apart.

    Raises:
        Refused: not one of the five formats, longer than `MAX_BYTES`, cut short or of too many
            parts.
    """
    kind = kind_of(data)
    if kind is None:
        raise Refused(name_of_other(data))
    if len(data) > MAX_BYTES:
        raise Refused(f"a file of {len(data):,} bytes")
    return _OPENERS[kind](data)


def kind_of(data: bytes) -> str | None:
    """Tells the format by the first bytes; None for another than the five."""
    if data.startswith(JPEG_START):
        return "JPEG"
    if data.startswith(PNG_START):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    return "WebP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


_BRANDS = {
    b"avif": "an AVIF image", b"avis": "an AVIF image", b"heic": "a HEIC image",
    b"heix": "a HEIC image", b"hevc": "a HEIC image", b"heim": "a HEIC image",
    b"heis": "a HEIC image", b"mif1": "a HEIF image", b"msf1": "a HEIF image",
}  # fmt: skip
_STARTS = {
    b"II*\0": "a TIFF image", b"MM\0*": "a TIFF image", b"II+\0": "a TIFF image",
    b"8BPS": "a Photoshop file", b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image", b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image", b"\0\0\1\0": "an icon", b"PK\3\4": "a zip archive",
    b"%PDF": "a PDF document", b"\x1f\x8b": "a gzip file",
}  # fmt: skip


def name_of_other(data: bytes) -> str:
    """Says what a file is that is none of the five formats, as far as its first bytes tell."""
    if not data:
        return "an empty file"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video")
    for start, name in _STARTS.items():
        if data.startswith(start):
            return name
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if not any(byte < 9 for byte in data[:512]):
        return "not an image but text"
    return f"not an image: it starts with {data[:8]!r}"


def exif_orientation(tiff: bytes) -> int:
    """Reads the rotation mark of what follows EXIF's mark.

    Returns:
        1 to 8; 1, upright, where there is no mark or a senseless one.

    Reference: Exif 2.3, tag 0x0112 (Orientation), of the TIFF header's first directory.
    """
    tiff = tiff[:EXIF_WINDOW]
    order = "little" if tiff[:1] == b"I" else "big"

    def number(position: int, size: int) -> int:
        return int.from_bytes(tiff[position : position + size].ljust(size, b"\0"), order)

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), MAX_EXIF_ENTRIES)):
        start = directory + 2 + 12 * entry
        if number(start, 2) == ORIENTATION_TAG:
            value = number(start + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def _open_jpeg(data: bytes) -> Container:
    if not _has_end(data):
        raise Refused("a JPEG image cut short")
    return Container("JPEG", data, exif_orientation(data[:EXIF_WINDOW].partition(EXIF_MARK)[2]))


def _has_end(data: bytes) -> bool:
    """Whether the pixels of a JPEG have an end; Pillow does not miss it once it has them all."""
    position = 2
    for _ in range(MAX_PARTS):
        marker = data[position : position + 2]
        if marker == b"\xff\xda":
            return JPEG_END in data[position:] or data.endswith(JPEG_END[:1])
        if marker[:1] != b"\xff":
            break
        is_fill = marker == b"\xff\xff"
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        position += 1 if is_fill else 2 + length
    return False


def check_scans(data: bytes, pixels: int) -> None:
    """Refuses a JPEG whose scans go over its pixels, height times width, too often."""
    scans = data.count(JPEG_SCAN)
    if scans * pixels > MAX_SCANNED_PIXELS:
        raise Refused(f"a JPEG image of {scans:,} scans, too many for {pixels:,} pixels")


def _open_png(data: bytes) -> Container:
    """Keeps what pixels are made of; text, profiles and later frames are left out unread."""
    kept, exif = [PNG_START], b""
    for name, start, end in _walk(data, len(PNG_START), len(data), png=True):
        if not name.isalpha():
            raise Refused("a broken PNG image")
        if name[:1].isupper():  # critical
            if zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
                raise Refused("a broken PNG image")
            kept.append(data[start - 8 : end + 4])
        elif name == b"eXIf" and not exif:
            exif = data[start:end]
        if name == b"IEND":
            break
    else:
        raise Refused("a PNG image cut short")
    if data[25] == 3 and not any(chunk[4:8] == b"PLTE" for chunk in kept):
        raise Refused("a PNG image without its palette")
    return Container("PNG", b"".join(kept), exif_orientation(exif))


def _walk(data: bytes, start: int, stop: int, *, png: bool) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, first byte and end of what each chunk of a PNG or WebP holds."""
    kind = "PNG" if png else "WebP"
    for _ in range(MAX_PARTS):
        if start + 8 > stop:
            return
        if png:
            length, name = struct.unpack_from(">I4s", data, start)
        else:
            name, length = struct.unpack_from("<4sI", data, start)
        end = start + 8 + length
        start = end + (4 if png else length % 2)  # checksum, or padding that the last may lack
        if (start if png else end) > stop:
            raise Refused(f"a {kind} image cut short")
        yield name, end - length, end
    raise Refused(f"a {kind} image of too many parts")


def _open_gif(data: bytes) -> Container:
    """Keeps the palette, what is said of transparency, and the first frame.

    Reference: GIF89a, sections 15 (data sub-blocks), 18 to 21 and 23 (extensions).
    """
    parts = 0

    def count():
        nonlocal parts
        parts += 1
        if parts > MAX_PARTS:
            raise Refused("a GIF image of too many parts")

    def palette(flags: int) -> int:
        return 2 ** (flags % 8 + 1) if flags >= 128 else 0

    def skip(position: int) -> int:
        run = previous = 0
        while size := data[position]:
            run = run + 1 if size == previous and run < MAX_RUN else 1
            if run == 1:
                count()
            position, previous = position + 1 + size, size
        return position + 1

    try:
        colors = palette(data[10])
        start = frame = 13 + 3 * colors
        control = b""
        while data[frame] == 0x21:
            count()
            if data[frame + 1 : frame + 3] == b"\xf9\4":
                control = data[frame : frame + 8]
            frame = skip(frame + 2)
        if data[frame] != 0x2C:
            raise Refused("a broken GIF image")
        local = palette(data[frame + 9])
        end = skip(frame + 11 + 3 * local)
    except IndexError:
        raise Refused("a GIF image cut short") from None
    left, top, width, height = struct.unpack_from("<4H", data, frame + 1)
    screen_width, screen_height = struct.unpack_from("<2H", data, 6)
    return Container(
        "GIF",
        data[:start] + control + data[frame:end] + b";",
        canvas=(max(screen_height, top + height), max(screen_width, left + width)),
        corner=(top, left),
        colors=local or colors,
    )


def _open_bmp(data: bytes) -> Container:
    """Refuses what the graph cannot read: packed pixels and palettes that do not fit."""
    head = data[:54]
    length = _number(head, 14, 4)
    old = length == OS2_HEADER
    bits, entry = (_number(head, 24, 2), 3) if old else (_number(head, 28, 2), 4)
    packing, colors = (0, 0) if old else (_number(head, 30, 4), _number(head, 46, 4))
    if length not in BMP_HEADERS:
        raise Refused("a BMP image of an unknown kind")
    if packing in (1, 2):
        raise Refused("a BMP image packed by run lengths")
    start = _number(head, 10, 4)
    if start < 14 + length:
        raise Refused("a broken BMP image")
    if bits <= 8:
        colors = colors or 2**bits
        end = 14 + length + entry * colors
        if colors > 256 or end > start:
            raise Refused("a BMP image of an odd palette")
        entries = [data[at : at + 3] for at in range(14 + length, end, entry)]
        levels = (0, 255) if colors == 2 else range(colors)
        # Pillow takes such a palette for grey values, and then a byte for a pixel.
        if entries == [bytes([level] * 3) for level in levels] and bits != (1, 8)[colors != 2]:
            raise Refused("a BMP image of an odd palette")
    return Container("BMP", data)


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _open_webp(data: bytes) -> Container:
    """Makes a picture of the first frame of an animation."""
    extended = data[12:16] == b"VP8X" and len(data) >= 30
    if not extended:
        return Container("WebP", data)
    frame, exif = None, b""
    stop = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for name, start, end in _walk(data, 12, stop, png=False):
        if name == b"ANMF" and frame is None:
            frame = data[start:end]
        if name == b"EXIF" and not exif:
            exif = data[start:end].removeprefix(EXIF_MARK)
    orientation = exif_orientation(exif)
    if not data[20] & 2:
        return Container("WebP", data, orientation)
    if frame is None or len(frame) < 24:
        raise Refused("a WebP image cut short")
    left, top, width, height = (
        int.from_bytes(frame[start : start + 3], "little") for start in (0, 3, 6, 9)
    )
    has_alpha = frame[16:20] != b"VP8 "
    still = b"VP8X" + struct.pack("<II", 10, 16 * has_alpha) + frame[6:12] + frame[16:]
    still = b"RIFF" + struct.pack("<I", 4 + len(still)) + b"WEBP" + still
    canvas = tuple(int.from_bytes(data[start : start + 3], "little") + 1 for start in (27, 24))
    if 2 * top + height >= canvas[0] or 2 * left + width >= canvas[1]:
        raise Refused("a broken WebP image")
    return Container("WebP", still, orientation, canvas, (2 * top, 2 * left))


_OPENERS = {
    "JPEG": _open_jpeg,
    "PNG": _open_png,
    "GIF": _open_gif,
    "BMP": _open_bmp,
    "WebP": _open_webp,
}
