"""The graph decodes what load_image decodes, to the same pixels, or both refuse."""

import importlib.util
import itertools
import pathlib
import struct
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_vit.images import graph_decoding, pillow_decoding
from keras_vit.images.containers import MAX_PIXELS


def _load(name):
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


files = _load("image_files")
RGB = files.picture()
RNG = np.random.default_rng(0)


def assert_same(data):
    pixels = pillow_decoding.decode_image(data)
    np.testing.assert_array_equal(graph_decoding.decode_image(data), pixels)
    return pixels


def assert_refused(data, why=None):
    with pytest.raises(ValueError, match=why):
        pillow_decoding.decode_image(data)
    for decode in (graph_decoding.decode_image, graph_decoding.decode_eighth):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data)


def test_grey_is_the_same_mixture_of_colours():
    data = files.encode(Image.fromarray(RNG.integers(0, 256, (300, 300, 3), "uint8")), "PNG")
    grey = pillow_decoding.decode_image(data, channels=1)
    np.testing.assert_array_equal(graph_decoding.decode_image(data, channels=1), grey)


MODES = ("1", "L", "P", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F",
         "LA", "La", "PA", "I;16")  # fmt: skip
OPTIONS = {
    "JPEG": ({}, {"quality": 95, "subsampling": 0}, {"progressive": True}),
    "PNG": ({},), "GIF": ({},), "BMP": ({},), "WEBP": ({}, {"lossless": True}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", OPTIONS)
def test_every_mode_that_pillow_writes(kind):
    written = 0
    for mode, options in itertools.product(MODES, OPTIONS[kind]):
        try:
            data = files.encode(files.in_mode(mode, RGB), kind, **options)
        except (OSError, ValueError):  # Pillow does not write it
            continue
        assert assert_same(data).shape == RGB.shape
        written += 1
    assert written >= {"JPEG": 18, "PNG": 7, "GIF": 9, "BMP": 5, "WEBP": 20}[kind]


def test_cmyk_with_all_its_inks():
    """Adobe's kind is stored inverted, YCCK in other coordinates, and a kind without a mark."""
    inks = np.dstack([RGB, RGB[::-1, :, 1]])
    data = files.encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=95)
    mark = data.index(b"\xff\xee")
    length = 2 + struct.unpack_from(">H", data, mark + 2)[0]
    ycck = data[: mark + length - 1] + b"\2" + data[mark + length :]
    adobe, unmarked = assert_same(data), assert_same(data[:mark] + data[mark + length :])
    assert np.abs(adobe.astype(int) - unmarked).mean() > 30
    assert np.abs(adobe.astype(int) - assert_same(ycck)).mean() > 30


@pytest.mark.parametrize("header", [12, 40, 52, 56, 64, 108, 124])
def test_bmp_of_every_depth(header):
    for bits in (1, 4, 8):
        palette = RNG.integers(0, 256, (2**bits, 3)).tolist()
        pixels = RNG.integers(0, 2**bits, (11, 13))
        result = assert_same(files.bmp(pixels, bits, palette=palette, header=header))
        np.testing.assert_array_equal(result, np.asarray(palette)[pixels])
        if header == 40:
            assert_same(files.bmp(pixels, bits, palette=palette, top_first=True))
            assert_same(files.bmp(pixels, bits, palette=palette[: 2**bits // 2]))
    for bits in (16, 24, 32):
        pixels = RNG.integers(0, 2**bits, (11, 13))
        assert_same(files.bmp(pixels, bits, header=header))
        if header == 40:
            assert_same(files.bmp(pixels, bits, top_first=True))


@pytest.mark.parametrize("header", [40, 52, 56, 124])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF800, 0x7E0, 0x1F, 0)),
        (16, (0x7C00, 0x3E0, 0x1F, 0)),
        (24, (0xFF0000, 0xFF00, 0xFF, 0)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0)),
        (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
        (32, (0, 0, 0, 0)),
    ],
)
def test_bmp_with_masks(bits, masks, header):
    pixels = RNG.integers(0, 2**bits, (11, 13))
    assert_same(files.bmp(pixels, bits, header=header, packing=3, masks=masks))


def test_red_and_blue_of_a_bmp_stand_where_its_masks_say():
    """What was swapped once."""
    data = files.bmp(
        np.full((2, 2), 0x80102030), 32, header=56, packing=3,
        masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    )  # fmt: skip
    assert assert_same(data)[0, 0].tolist() == [0x30, 0x20, 0x10]


def test_bmp_that_is_packed_or_broken_is_refused():
    pixels, palette = RNG.integers(0, 2, (11, 13)), [[0] * 3, [255] * 3]
    for packing in (1, 2):
        data = files.bmp(pixels, 8, palette=palette, packing=packing)
        assert_refused(data, "packed by run lengths")
    assert_refused(files.bmp(pixels, 32, packing=3, masks=(0xFF, 0xF, 0xFF0000, 0)), "BMP")
    assert_refused(files.bmp(pixels, 8, palette=palette), "odd palette")
    whole = files.bmp(pixels, 24)
    assert_refused(whole[:-40], "BMP")
    assert_refused(whole[:10] + b"\0" * 4 + whole[14:], "broken")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("color", "depth"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8),
     (4, 8), (4, 16), (6, 8), (6, 16)],
)  # fmt: skip
def test_png_of_every_kind(color, depth, interlaced):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    samples = RNG.integers(0, 2**depth, (11, 13, channels))
    palette = RNG.integers(0, 256, (2**depth, 3)) if color == 3 else np.zeros((0, 3))
    table = files.png_chunk(b"PLTE", palette.astype("uint8").tobytes()) if color == 3 else b""
    result = assert_same(files.png(samples, depth, color, interlaced=interlaced, before=table))
    if color in (2, 6):
        np.testing.assert_array_equal(result, samples[..., :3] >> depth - 8)
    if color == 3:
        np.testing.assert_array_equal(result, palette[samples[..., 0]])
    if color in (0, 2, 3):
        first = struct.pack(f">{channels}H", *samples[0, 0].tolist())
        clear = RNG.integers(0, 256, 2**depth, "uint8").tobytes() if color == 3 else first
        table += files.png_chunk(b"tRNS", clear)
        again = assert_same(files.png(samples, depth, color, interlaced=interlaced, before=table))
        np.testing.assert_array_equal(again, result)


def test_what_else_a_png_holds_changes_nothing():
    text = struct.pack(">I", 4) + b"tEXt" + b"a\0bc" + b"\0" * 4  # with a wrong checksum
    gamma = files.png_chunk(b"gAMA", struct.pack(">I", 100_000))
    for parts in ({"before": text + gamma}, {"after": text}):
        np.testing.assert_array_equal(assert_same(files.png(RGB, **parts)), RGB)
    np.testing.assert_array_equal(assert_same(files.png(RGB) + b"trailing"), RGB)
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    assert_same(files.encode(frames[0], save_all=True, append_images=frames[1:]))


INDICES = RNG.integers(0, 8, (5, 7))
COLORS = RNG.integers(1, 256, (8, 3))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"local": True},
        {"before": b"\x21\xfe\0" + b"\x21\xfe\2ab\1c\0"},
        {"screen": (8, 9), "corner": (2, 1)},
        {"screen": (4, 4)},
        {"screen": (6, 6), "corner": (3, 3)},
    ],
    ids=["plain", "local", "comments", "on a screen", "larger", "beyond its screen"],
)
@pytest.mark.parametrize("index", [None, 3, 200])
def test_the_frame_of_a_gif_stands_on_a_black_screen(options, index):
    control = b"" if index is None else files.transparent(index)
    options = {**options, "before": control + options.get("before", b"")}
    result = assert_same(files.gif(INDICES, COLORS, **options))
    top, left = options.get("corner", (0, 0))
    expected = np.where((index == INDICES)[..., None], 0, COLORS[INDICES])
    np.testing.assert_array_equal(result[top : top + 5, left : left + 7], expected)
    assert (result.any(axis=-1)).sum() == (expected.any(axis=-1)).sum()


def test_gif_without_its_colours_or_pixels_is_refused():
    assert_refused(files.gif(INDICES, COLORS[:4]), "palette lacks")
    assert_refused(files.gif(INDICES, [[level] * 3 for level in range(4)]), "palette lacks")
    assert_refused(files.gif(INDICES, COLORS, short=6), "GIF")
    assert_refused(files.gif(INDICES, COLORS)[:-3], "cut short")
    assert_same(files.gif(INDICES, [[level] * 3 for level in range(8)]))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": files.exif(6)}])
def test_of_an_animation_the_first_frame_is_taken(kind, options):
    frames = [RGB, RGB[::-1], RGB[:, ::-1]]
    for alpha in ([], [RGB[..., :1]]):
        images = [Image.fromarray(np.dstack([frame, *alpha])) for frame in frames]
        data = files.encode(images[0], kind, save_all=True, append_images=images[1:], **options)
        turned = kind == "WEBP" and "exif" in options
        result = assert_same(data)
        assert result.shape == ((53, 37, 3) if turned else RGB.shape)
        if options.get("lossless") and not alpha and kind == "WEBP":
            np.testing.assert_array_equal(result, RGB)


def test_a_frame_of_an_animated_webp_may_be_a_part_of_its_screen():
    image = Image.fromarray(RGB)
    data = files.encode(
        image, "WEBP", save_all=True, append_images=[image.rotate(9)], lossless=True
    )
    wider = data[:24] + struct.pack("<I", 59)[:3] + struct.pack("<I", 39)[:3] + data[30:]
    frame = wider.index(b"ANMF") + 8
    moved = wider[:frame] + b"\2\0\0\1\0\0" + wider[frame + 6 :]
    result = assert_same(moved)
    assert result.shape == (40, 60, 3)
    np.testing.assert_array_equal(result[2:39, 4:57], RGB)
    beyond = wider[:frame] + b"\7\0\0\1\0\0" + wider[frame + 6 :]
    assert_refused(beyond, "WebP")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_rotation_mark_is_honoured(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    for orientation, order in itertools.product(range(1, 9), "<>"):
        data = files.encode(RGB, kind, exif=files.exif(orientation, order), **options)
        result = assert_same(data)
        if kind != "JPEG":
            seen = Image.fromarray(RGB)
            seen.getexif()[0x0112] = orientation
            np.testing.assert_array_equal(result, np.asarray(ImageOps.exif_transpose(seen)))
    mark = files.png_chunk(b"eXIf", files.exif(6))
    assert assert_same(files.png(RGB, after=mark)).shape == (53, 37, 3)


def test_garbage_for_a_rotation_mark_is_read_alike():
    jpeg = files.encode(RGB, "JPEG")
    shapes = set()
    for seed in range(60):
        garbage = np.random.default_rng(seed).integers(0, 12, 70, "uint8").tobytes()
        if seed % 2:
            garbage = np.random.default_rng(seed).choice([0, 6], 70).astype("uint8").tobytes()
            garbage = files.exif(1)[:8] + bytes([seed % 5, 0]) + b"\x12\1" + garbage
        shapes.add(assert_same(files.with_segment(jpeg, b"Exif\0\0" + garbage)).shape)
    assert len(shapes) == 2  # some turn it
    xmp = b'<x tiff:Orientation="6"/>'
    assert assert_same(files.encode(RGB, "JPEG", xmp=xmp)).shape == RGB.shape


def test_what_follows_a_jpeg_changes_nothing():
    jpeg = files.encode(RGB, "JPEG")
    pixels = assert_same(jpeg)
    for data in (jpeg + b"tail", jpeg + RNG.integers(0, 256, 9999, "uint8").tobytes()):
        np.testing.assert_array_equal(assert_same(data), pixels)
    pair = files.encode(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::-1])])
    np.testing.assert_array_equal(assert_same(pair), pixels)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_file_cut_short_is_refused(kind):
    for options in OPTIONS[kind]:
        data = files.encode(RGB, kind, **options)
        needed = len(data) - (kind in ("JPEG", "GIF", "BMP"))  # the last byte says nothing new
        for length in (0, 5, 20, 40, len(data) // 3, len(data) * 2 // 3, needed - 9, needed - 1):
            assert_refused(data[:length])


def test_damage_is_no_crash_and_no_other_picture():
    """Where one of the two takes a damaged file and the other does not, nothing is lost."""
    for kind in OPTIONS:
        data = files.encode(RGB, kind)
        for seed in range(25):
            rng = np.random.default_rng(seed)
            damaged = bytearray(data)
            for place in rng.integers(0, [64, len(data)], (2, 2)).ravel() % len(data):
                damaged[place] = rng.integers(256)
            try:
                pixels = pillow_decoding.decode_image(bytes(damaged))
                result = graph_decoding.decode_image(bytes(damaged))
            except (ValueError, tf.errors.InvalidArgumentError):
                continue
            np.testing.assert_array_equal(result, pixels)


@pytest.mark.parametrize(("height", "why"), [(8_000, "cut short"), (8_001, "size")])
def test_the_size_is_checked_before_anything_is_decoded(height, why):
    data = files.png_header(10_000, height)
    with pytest.raises(tf.errors.InvalidArgumentError, match=why):
        graph_decoding.decode_image(data)


def _gif_of(extensions):
    return files.gif(INDICES, COLORS, before=extensions)


HOSTILE = {
    "a chunk of 2 GB": files.png_header(8, 8) + struct.pack(">I", 0x7FFFFFFF) + b"tEXt" + b"x" * 90,
    "a PNG of a million chunks": files.png(RGB, before=files.png_chunk(b"teXt", b"") * 1_000_000),
    "comments in blocks of 1 and 2": _gif_of(b"\x21\xfe" + b"\1x\2xx" * 400_000 + b"\0"),
    "a million comments": _gif_of(b"\x21\xfe\0" * 1_000_000),
    "3,000 scans": files.progressive(2048, 2048, 3000),
    "20,000 x 20,000": files.progressive(20_000, 20_000, 1),
    "10,000 x 8,100": files.progressive(8_100, 10_000, 1),
    "a PNG beyond the limit": files.png_header(MAX_PIXELS // 8 + 1, 8),
    "33 MB": files.encode(RGB, "BMP") + b"\0" * 2**25,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_made_to_take_long_is_refused_at_once(name):
    assert_refused(b"GIF89a")  # traced by now
    start = time.process_time()
    assert_refused(HOSTILE[name])
    assert time.process_time() - start < 20  # a second or two where nothing else runs


def test_comments_alone_do_not_make_a_gif_slow():
    start = time.process_time()
    assert_same(_gif_of(b"\x21\xfe" + files.blocks(b"x" * 200_000, 1)))
    assert time.process_time() - start < 10
