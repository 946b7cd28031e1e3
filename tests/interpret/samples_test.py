"""Images to look into, from files and from data sets."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.images.spec import Preprocessing
from keras_vit.interpret import samples

CONFIG = VisionTransformerConfig(
    image_size=(8, 12), patch_size=4, hidden_size=16, num_layers=2, num_heads=2, mlp_dim=24,
    num_classes=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return VisionTransformer(CONFIG)


@pytest.fixture
def photos(tmp_path):
    for index, name in enumerate(["cats/a.png", "cats/b.JPG", "dogs/c.png", "dogs/d.webp"]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (60 * index, 10, 20)).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("not a picture")
    return tmp_path / "photos"


def names(paths, root):
    return [str(path).removeprefix(f"{root}/") for path in paths]


def test_folders_patterns_and_files_are_found(photos):
    every = ["cats/a.png", "cats/b.JPG", "dogs/c.png", "dogs/d.webp"]
    assert names(samples.find_images([photos]), photos) == every
    assert names(samples.find_images(photos), photos) == every
    assert names(samples.find_images(str(photos)), photos) == every
    assert names(samples.find_images([f"{photos}/*/*.png"]), photos) == every[::2]
    assert names(samples.find_images([photos / "dogs" / "c.png", photos]), photos) == [
        "dogs/c.png", "cats/a.png", "cats/b.JPG", "dogs/d.webp",
    ]  # fmt: skip


def test_a_count_is_spread_evenly(photos):
    assert names(samples.find_images([photos], count=2), photos) == ["cats/b.JPG", "dogs/d.webp"]
    assert samples.spread(9, 3) == [1, 4, 7]
    assert samples.spread(2, 5) == [0, 1]


@pytest.mark.parametrize("source", ["nothing.png", "*.jpg", "."])
def test_where_no_image_is_found_it_says_so(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="where no image was found"):
        samples.find_images([source])


def test_files_are_prepared_as_the_model_takes_them(model, photos):
    result = samples.from_files(model, [photos], class_names=["cats", "dogs"])
    assert result.images.shape == (4, 8, 12, 3) and result.images.dtype == np.float32
    assert result.names == ("a.png", "b.JPG", "c.png", "d.webp")
    assert result.labels is None and result.class_names == ("cats", "dogs")
    np.testing.assert_allclose(result.images[2, 0, 0, 0], 120 / 127.5 - 1, atol=1e-5)
    assert [photo.shape for photo in result.photos] == 4 * [(20, 30, 3)]


@pytest.mark.parametrize(
    ("preprocessing", "box"),
    [
        (Preprocessing(size=8), (0, 0, 40, 20)),
        (Preprocessing(size=8, resize="crop"), (10, 0, 30, 20)),
        (Preprocessing(size=10, resize="crop", crop_fraction=0.5), (15, 5, 25, 15)),
    ],
)
def test_a_photo_is_the_part_that_the_model_sees_at_its_own_resolution(
    tmp_path, preprocessing, box
):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    left, top, right, bottom = box
    seen = samples.seen_photo(tmp_path / "photo.png", preprocessing)
    np.testing.assert_array_equal(seen, pixels[top:bottom, left:right])


def test_a_large_photo_is_shrunk_and_a_grey_one_keeps_its_channel(tmp_path):
    Image.new("L", (3000, 1500), 7).save(tmp_path / "grey.png")
    seen = samples.seen_photo(tmp_path / "grey.png", Preprocessing(8, mean=(0.5,), std=(0.5,)))
    assert seen.shape == (512, 1024, 1) and (seen == 7).all()


needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="data sets are read by TensorFlow"
)


@needs_tensorflow
def test_a_data_set_gives_images_with_their_labels_up_to_its_end(model, photos):
    for index in range(4):
        Image.new("RGB", (30, 20), (240, 10, 20)).save(photos / "dogs" / f"e{index}.png")
    result = samples.from_dataset(model, photos, split="train", count=3)
    assert result.class_names == ("cats", "dogs")
    assert len(result.images) == len(result.labels) == len(result.names) == len(result.photos) == 3
    assert result.labels[-1] == 1 and set(result.names[-1][:5]) == set("dogs/")
    known = zip(result.images, result.labels, result.names, result.photos, strict=True)
    for image, label, name, photo in known:
        red = (image[0, 0, 0] + 1) * 127.5  # cats are 0 and 60, dogs 120 and more
        assert (red > 90) == (label == 1) == name.startswith("dogs")
        assert photo.shape == (20, 30, 3) and abs(photo[0, 0, 0] - red) < 2


@needs_tensorflow
def test_a_model_for_other_classes_is_an_error(photos):
    other = VisionTransformer(CONFIG.replace(num_classes=7))
    with pytest.raises(ValueError, match="the 2 classes of .*Received: one for 7"):
        samples.from_dataset(other, photos)
