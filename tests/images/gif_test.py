"""A GIF is cut after its first frame."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.images.gif import first_frame


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def cut(data):
    return first_frame(data, 10**6)


def gif(*frames, **options):
    buffer = io.BytesIO()
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], **options)
    return buffer.getvalue()


def noise(seed, size=(50, 70, 3)):
    return np.random.default_rng(seed).integers(0, 256, size, "uint8")


@pytest.mark.parametrize("options", [{}, {"comment": b"x" * 700, "loop": 0, "duration": 40}])
@pytest.mark.parametrize("count", [1, 3])
def test_one_frame_is_left_with_the_same_pixels(count, options):
    data = gif(*(noise(seed) for seed in range(count)), **options)
    result, screen, corner = (value.numpy() for value in cut(data))
    left = Image.open(io.BytesIO(result))
    assert left.n_frames == 1 and b"x" * 99 not in result
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(left.convert("RGB")), expected)
    assert (len(result) < len(data) / 2) == (count == 3)
    assert screen.tolist() == [50, 70] and corner.tolist() == [0, 0]


@pytest.mark.parametrize("size", [0, 5, 13, 20, 800, 2000])
def test_broken_files_end_the_walk(size):
    with pytest.raises(tf.errors.InvalidArgumentError):
        cut(gif(noise(0), noise(1))[:size])


def test_a_frame_larger_than_its_screen_is_refused():
    data = bytearray(gif(np.zeros((8, 8), "uint8")))
    frame = data.index(b"\x2c\0\0\0\0\x08\0\x08\0")
    data[frame + 5 : frame + 9] = b"\xff" * 4
    with pytest.raises(tf.errors.InvalidArgumentError, match="GIF"):
        cut(bytes(data))


def test_a_frame_of_many_blocks_is_kept_whole():
    data = gif(noise(0, (400, 400)))
    assert len(data) > 100_000 and cut(data)[0] == data
