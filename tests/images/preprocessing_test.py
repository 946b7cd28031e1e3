"""preprocess_input against Pillow and torchvision's rounding, on arrays and in graphs."""

import io
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit.images.pillow_decoding import load_image
from keras_vit.images.preprocessing import get_preprocessing, preprocess_input, resize_plan
from keras_vit.images.spec import Preprocessing

LEVELS = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # keeps the values 0 to 255


def photo(height, width, channels=3, seed=0):
    """A smooth picture with sharp edges and some noise, uint8."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 7 + k) * np.cos(columns / 11 - k) for k in range(channels)]
    picture = 120 + 100 * np.stack(waves, -1)
    picture[height // 4 : height // 2, width // 3 : width // 2] = 255
    picture[: height // 8] = 0
    noise = np.random.default_rng(seed).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype("uint8")


def as_array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_within_levels(difference, resampling):
    """Pillow rounds to whole levels, and clips a cubic between its two passes, ours after both."""
    assert difference.mean() < 0.5
    assert difference.max() < {"bilinear": 1.5, "bicubic": 16}[resampling]
    assert np.quantile(difference, 0.99) < 1.5


def tensorflow():
    return pytest.importorskip("tensorflow", reason="reads TensorFlow tensors")


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(97, 140), (301, 200), (32, 40), (500, 60)])
def test_squash_agrees_with_pillow(resampling, shape):
    image = photo(*shape)
    kernel = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = Image.fromarray(image).resize((80, 64), kernel[resampling])
    result = preprocess_input(image, Preprocessing((64, 80), resampling, **LEVELS))
    difference = np.abs(as_array(result) - np.asarray(expected, "float32"))
    assert_within_levels(difference, resampling)


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(97, 140), (301, 200), (64, 64), (71, 35)])
@pytest.mark.parametrize("fraction", [1.0, 0.875, 0.9])
def test_crop_agrees_with_resize_and_centre_crop(resampling, shape, fraction):
    image = photo(*shape)
    height, width = shape
    side = int(56 / fraction + 1e-6)  # torchvision: shorter side, longer one cut to whole pixels
    scale = side / min(shape)
    size = [side if length == min(shape) else int(length * scale + 1e-9) for length in shape]
    kernel = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resized = np.asarray(Image.fromarray(image).resize(size[::-1], kernel[resampling]), "float32")
    top, left = (round((side - 56) / 2) for side in size)
    expected = resized[top : top + 56, left : left + 56]
    preprocessing = Preprocessing(56, resampling, "crop", fraction, **LEVELS)
    difference = np.abs(as_array(preprocess_input(image, preprocessing)) - expected)
    assert_within_levels(difference, resampling)


def test_a_crop_of_another_shape_covers_it():
    preprocessing = Preprocessing((40, 80), resize="crop", **LEVELS)
    assert resize_plan(100, 100, preprocessing) == (80, 80, 20, 0)
    assert resize_plan(100, 400, preprocessing) == (40, 160, 0, 40)
    assert preprocess_input(photo(100, 30), preprocessing).shape == (40, 80, 3)


@pytest.mark.parametrize(("size", "offset"), [(57, 0), (58, 1), (59, 2), (60, 2), (63, 4)])
def test_odd_margins_round_half_to_even(size, offset):
    assert resize_plan(56, size, Preprocessing(56, resize="crop"))[3] == offset
    assert offset == round((size - 56) / 2)
    assert resize_plan(56, size, Preprocessing(56, resize="crop", crop_offset="down"))[3] == (
        (size - 56) // 2
    )


REFERENCES = pathlib.Path(__file__).parent.parent / "fixtures" / "preprocessing.npz"
FAMILIES = {
    "timm-crop-0.9": Preprocessing(24, "bicubic", "crop", 0.9),
    "timm-squash-0.95": Preprocessing(24, "bicubic", "squash", 0.95),
    "timm-wide-0.9": Preprocessing((16, 24), "bicubic", "crop", 0.9),
    "clip": Preprocessing(24, "bicubic", "crop", crop_offset="down"),
    "dinov2": Preprocessing(24, "bicubic", "crop", 24 / 27, crop_offset="down"),
    "deit": Preprocessing(24, "bicubic", "squash", 24 / 27, crop_offset="down"),
    "vit": Preprocessing(24, "bilinear"),
    "siglip": Preprocessing(24, "bicubic"),
}


def waves(height, width):
    """The picture that the references were made of, from whole numbers alone."""
    rows, columns = np.mgrid[:height, :width]
    phases = ((rows + 2 * columns, 46), (3 * rows - columns, 62), (rows + columns, 250))
    planes = [abs(x % period - period // 2) * 255 // (period // 2) for x, period in phases]
    return np.stack(planes, -1).astype("uint8")


@pytest.mark.parametrize("size", [(334, 500), (61, 33), (101, 300), (80, 203)])
@pytest.mark.parametrize("family", FAMILIES)
def test_odd_sizes_are_rounded_as_in_the_library_of_the_family(family, size):
    """What timm 1.0.31 and transformers 5.24 made of the same pictures, through Pillow."""
    with np.load(REFERENCES) as file:
        expected = file[f"{family}/{size[0]}x{size[1]}"].astype("float32")
    preprocessing = FAMILIES[family].replace(**LEVELS)
    buffer = io.BytesIO()
    Image.fromarray(waves(*size)).save(buffer, "PNG")
    assert np.abs(load_image(buffer.getvalue(), preprocessing) - expected).max() < 1.01
    difference = np.abs(as_array(preprocess_input(waves(*size), preprocessing)) - expected)
    assert_within_levels(difference, preprocessing.resampling)


def test_values_are_normalised_with_mean_and_std():
    white, black = np.full((5, 5, 3), 255, "uint8"), np.zeros((5, 5, 3), "float32")
    google = Preprocessing(8)
    np.testing.assert_allclose(as_array(preprocess_input(white, google)), 1, atol=1e-6)
    np.testing.assert_allclose(as_array(preprocess_input(black, google)), -1, atol=1e-6)
    imagenet = Preprocessing(8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    expected = (1 - np.array(imagenet.mean)) / imagenet.std
    np.testing.assert_allclose(
        as_array(preprocess_input(white, imagenet))[3, 3], expected, atol=1e-5
    )


def test_a_model_gives_its_preprocessing():
    class Model:
        preprocessing = Preprocessing(8)

    assert get_preprocessing(Model()) is Model.preprocessing
    assert preprocess_input(photo(9, 9), Model()).shape == (8, 8, 3)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float16", "float32", "float64"])
def test_types_and_batches_give_float32(dtype):
    images = np.stack([photo(20, 30, seed=0), photo(20, 30, seed=1)])
    preprocessing = Preprocessing(16, "bicubic")
    result = preprocess_input(images.astype(dtype), preprocessing)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    assert result.shape == (2, 16, 16, 3)
    for image, row in zip(images, as_array(result), strict=True):
        np.testing.assert_allclose(as_array(preprocess_input(image, preprocessing)), row, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels_that_agrees(channels):
    preprocessing = Preprocessing(8, mean=(0.5,) * channels, std=(0.5,) * channels)
    assert preprocess_input(photo(9, 12, channels), preprocessing).shape == (8, 8, channels)


def test_an_empty_batch_stays_empty():
    assert preprocess_input(np.zeros((0, 9, 9, 3), "uint8"), Preprocessing(8)).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (9, 9, 4), (2, 2, 9, 9, 3), (0, 9, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"Expected images of.*Received: shape \("):
        preprocess_input(np.zeros(shape, "uint8"), Preprocessing(8))


@pytest.mark.parametrize("wrong", [None, 224, "ViT_B16"])
def test_without_preprocessing_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected a keras_vit.Preprocessing"):
        preprocess_input(np.zeros((9, 9, 3)), wrong)


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_both_paths_agree(resampling, resize):
    tf = tensorflow()
    from keras_vit.images.preprocessing import resize_keras

    preprocessing = Preprocessing((40, 56), resampling, resize, 0.9, **LEVELS)
    image = photo(91, 133)
    graph = preprocess_input(tf.constant(image), preprocessing)
    eager = as_array(resize_keras(image, preprocessing))
    np.testing.assert_allclose(graph.numpy(), eager, atol=2e-2)


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_tf_data_with_unknown_sizes(resize):
    tf = tensorflow()
    preprocessing = Preprocessing(32, "bicubic", resize, 0.875)
    photos = [photo(50, 70), photo(90, 33)]
    data = tf.data.Dataset.from_generator(
        lambda: photos, output_signature=tf.TensorSpec((None, None, 3), tf.uint8)
    )
    data = data.map(lambda image: preprocess_input(image, preprocessing))
    assert data.element_spec == tf.TensorSpec((32, 32, 3), tf.float32)
    for image, result in zip(photos, data, strict=True):
        expected = as_array(preprocess_input(image, preprocessing))
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-3)


def test_tf_function_with_everything_unknown():
    tf = tensorflow()
    preprocessing = Preprocessing(32, resize="crop")
    spec = tf.TensorSpec((None, None, None, None), tf.float32)
    function = tf.function(lambda x: preprocess_input(x, preprocessing), input_signature=[spec])
    images = np.stack([photo(50, 70)] * 2).astype("float32")
    expected = as_array(preprocess_input(images, preprocessing))
    np.testing.assert_allclose(function(images).numpy(), expected, atol=1e-5)
    assert function(images[:0]).shape == (0, 32, 32, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(images[..., :1])  # would otherwise be spread over three channels
