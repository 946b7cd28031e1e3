"""Batches: the same maths in training and evaluation, every image as often, the seed decides."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_vit.data import pipeline, together
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.pipeline import evaluation_batches, resize_crop, training_batches
from keras_vit.data.together import normalize_rows
from keras_vit.images.graph_decoding import decode_image
from keras_vit.images.preprocessing import normalize, preprocess_input
from keras_vit.images.spec import Preprocessing

GREY = Preprocessing(size=8, mean=(0.5,), std=(0.5,))
SOME = Augmentation(translation=0.1, rotation=10, zoom=0.1)
EVERYTHING = Augmentation(
    crop_min_area=0.2,
    horizontal_flip=True,
    three_augment=True,
    rand_augment_ops=1,
    rand_augment_magnitude_std=0.5,
    color_jitter=0.3,
    random_erasing=0.5,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    mix_probability=0.9,
    repeats=3,
)
WITH_EVERYTHING = {
    "batch_size": 8,
    "preprocessing": Preprocessing(size=24),
    "augmentation": EVERYTHING,
}


def _take(batches, count):
    return [(images.numpy(), labels.numpy()) for images, labels in batches.take(count)]


def _training(split, seed=0, batch_size=6, preprocessing=GREY, augmentation=None, **place):
    return training_batches(
        split,
        preprocessing,
        batch_size=batch_size,
        num_classes=2,
        seed=seed,
        augmentation=augmentation,
        **place,
    )


@pytest.fixture(scope="module")
def split(image_sets):
    """The 24 grey training images of the set in memory."""
    return image_sets.data_in_memory().train


@pytest.fixture(scope="module")
def whole(split):
    """Twelve batches of six, three passes."""
    return _take(_training(split, augmentation=SOME), 12)


@pytest.fixture(scope="module")
def evaluated(split):
    """One pass of evaluation."""
    return _take(evaluation_batches(split, GREY, batch_size=10, num_classes=2), 9)


def assert_equal(batches, others):
    for batch, other in zip(batches, others, strict=True):
        for values, same in zip(batch, other, strict=True):
            np.testing.assert_array_equal(values, same)


@pytest.mark.parametrize(
    "augmentation, place",
    [
        (SOME, {}),
        (Augmentation(horizontal_flip=True, translation=0.3), {"start_step": 5}),
        (Augmentation(rotation=30, mixup_alpha=0.8, cutmix_alpha=1.0), {}),
        (Augmentation(zoom=0.3, repeats=3), {"num_shards": 3, "shard_index": 1}),
        (Augmentation(crop_min_area=0.5, horizontal_flip=True), {}),
        (Augmentation(rand_augment_ops=1, color_jitter=0.3, random_erasing=0.5), {"start_step": 1}),
    ],
    ids=["moved", "mirrored", "mixed", "repeated", "cut", "recoloured"],
)
def test_a_batch_changed_together_has_the_bits_of_images_changed_one_by_one(
    split, augmentation, place, monkeypatch
):
    made = _take(_training(split, augmentation=augmentation, **place), 2)
    for name in ("_MOST_BYTES", "_MOST_BYTES_MOVED"):
        monkeypatch.setattr(together, name, 0)
    assert_equal(_take(_training(split, augmentation=augmentation, **place), 2), made)


def test_evaluation_sees_every_image_once_in_order(evaluated):
    assert [len(images) for images, _ in evaluated] == [10, 10, 4]
    labels = np.concatenate([labels for _, labels in evaluated])
    np.testing.assert_array_equal(labels.argmax(-1), np.arange(24) % 2)
    np.testing.assert_array_equal(labels.sum(-1), 1)


def test_no_tuner_sleeps_while_the_end_of_a_pass_waits_for_it(split):
    """The wait itself comes in passes of seconds alone, and not in all of them."""
    for batches in (_training(split), evaluation_batches(split, GREY, batch_size=6, num_classes=2)):
        assert batches.options().autotune.enabled is False


def test_training_without_augmentation_shows_what_evaluation_shows(image_sets):
    """Also where images of another size are cropped and resized."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (6, 20, 30, 3)).astype(np.uint8)
    split = image_sets.split_in_memory(images, [0, 1] * 3)
    preprocessing = Preprocessing(size=12, resize="crop", crop_fraction=0.8, resampling="bicubic",
                                  mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))  # fmt: skip
    ((seen, _),) = evaluation_batches(split, preprocessing, batch_size=6, num_classes=2)
    ((trained, _),) = _take(_training(split, preprocessing=preprocessing), 1)
    expected = preprocess_input(images, preprocessing)
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    order = np.abs(trained[:, None] - seen.numpy()[None]).max(axis=(2, 3, 4)).argmin(axis=1)
    assert sorted(order) == list(range(6))
    np.testing.assert_allclose(trained, seen.numpy()[order], atol=1e-5)


def test_the_same_seed_gives_the_same_batches_whatever_the_global_seed(split, whole):
    tf.random.set_seed(2)
    assert_equal(_take(_training(split, augmentation=SOME), 9), whole[:9])
    ((other, _),) = _take(_training(split, seed=3, augmentation=SOME), 1)
    assert not np.array_equal(other, whole[0][0])


def test_batches_of_any_size_are_full_and_show_the_same_images(split, whole):
    """Also where a batch holds the end of one pass and the start of the next."""
    batches = _take(_training(split, batch_size=9, augmentation=SOME), 8)
    assert {images.shape for images, _ in batches} == {(9, 8, 8, 1)}
    for which in range(2):
        np.testing.assert_array_equal(
            np.concatenate([batch[which] for batch in batches]),
            np.concatenate([batch[which] for batch in whole]),
        )


def test_crops_are_resized_to_the_size_of_the_model(image_sets):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, size).astype(np.uint8) for size in ((20, 9, 3), (7, 33, 3))]
    split = image_sets.split_in_memory(images, [0, 1])
    preprocessing = Preprocessing(size=(6, 10))
    batches = _training(
        split,
        batch_size=2,
        preprocessing=preprocessing,
        augmentation=Augmentation(crop_min_area=0.3),
    )
    (first, _), (second, _) = _take(batches, 2)
    assert first.shape == second.shape == (2, 6, 10, 3)
    assert first.min() >= -1.001 and first.max() <= 1.001
    assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))


def test_paths_are_read(tmp_path, image_sets):
    from keras_vit.data.folders import read_folder

    data = read_folder(image_sets.write_folder(tmp_path, {"a": 4, "b": 4}))
    ((images, _),) = evaluation_batches(
        data.validation, Preprocessing(size=8), batch_size=4, num_classes=2
    )
    assert images.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WebP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_decodes_to_the_channels_of_the_model(image_sets, kind, channels):
    smooth = np.linspace(0, 255, 32 * 32).reshape(32, 32).astype(np.uint8)
    image = decode_image(tf.constant(image_sets.encode(np.dstack([smooth] * 3), kind)), channels)
    assert image.shape == (32, 32, channels)
    np.testing.assert_allclose(image[..., 0].numpy().astype(int), smooth, atol=10)


@pytest.mark.few(1)
@pytest.mark.parametrize(("shards", "index"), [(2, 0), (2, 1), (3, 1)])
def test_the_workers_together_get_the_batches_of_one(split, whole, shards, index):
    part = _take(_training(split, augmentation=SOME, num_shards=shards, shard_index=index), 6)
    rows = slice(6 // shards * index, 6 // shards * (index + 1))
    assert_equal(part, [[values[rows] for values in batch] for batch in whole[:6]])


@pytest.fixture(scope="module")
def photos(image_sets):
    """Ten JPEG photos of 64 x 96 pixels, as a split."""
    import dataclasses

    from sklearn.datasets import load_sample_image

    photo = load_sample_image("flower.jpg")
    cuts = [np.ascontiguousarray(photo[30 * i : 30 * i + 64, :96]) for i in range(10)]
    data = {
        "image": [image_sets.encode(cut, "JPEG") for cut in cuts],
        "label": np.arange(10, dtype=np.int64) % 2,
    }
    split = image_sets.split_in_memory(cuts, data["label"])
    return dataclasses.replace(
        split, references=lambda: tf.data.Dataset.from_tensor_slices(data), shuffle_buffer=4
    )


@pytest.fixture(scope="module")
def everything(photos):
    """Eight batches of eight: ten images, each three times, so that a pass ends in the fourth."""
    return _take(_training(photos, **WITH_EVERYTHING), 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shards, index, start",
    [(2, 1, 1), (2, 0, 1), (4, 0, 0), (4, 3, 0), (1, 0, 2), (1, 0, 5)],
)
def test_with_everything_on_workers_and_resumption_change_nothing(
    photos, everything, shards, index, start
):
    place = {"start_step": start, "num_shards": shards, "shard_index": index}
    part = _take(_training(photos, **WITH_EVERYTHING, **place), 3)
    rows = slice(8 // shards * index, 8 // shards * (index + 1))
    whole = everything[start : start + 3]
    assert_equal(part, [[values[rows] for values in batch] for batch in whole])
    for images, labels in whole:
        np.testing.assert_allclose(labels.sum(axis=-1), 1, atol=1e-6)
        assert np.isfinite(images).all()


@pytest.fixture(scope="module")
def plain(photos):
    """All ten photos as they are, in the order of the first pass."""
    options = {"batch_size": 10, "preprocessing": Preprocessing(size=24)}
    return _take(_training(photos, **options), 1)[0]


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(horizontal_flip=True),
        Augmentation(crop_min_area=0.3),
        Augmentation(three_augment=True),
        Augmentation(rand_augment_ops=1),
        Augmentation(color_jitter=0.3),
        Augmentation(random_erasing=1.0),
        Augmentation(mixup_alpha=1.0),
        Augmentation(cutmix_alpha=1.0),
    ],
    ids=lambda augmentation: next(
        field for field, value in vars(augmentation).items() if value != vars(Augmentation())[field]
    ),
)
def test_each_change_alone_is_seen(photos, plain, augmentation):
    """That the seed decides them all is tested with everything on."""
    options = {"batch_size": 10, "preprocessing": Preprocessing(size=24)}
    ((images, labels),) = _take(_training(photos, augmentation=augmentation, **options), 1)
    changed = np.abs(images - plain[0]).max(axis=(1, 2, 3)) > 0.05
    assert changed.any()
    softened = (labels.max(axis=-1) < 1).any()
    assert softened == augmentation.mixes


def test_pairs_need_an_even_number_of_images_a_worker(photos):
    augmentation = Augmentation(mixup_alpha=0.2)
    with pytest.raises(ValueError, match=r"even number.*Received: 3 \(batch_size=6, num_shards=2"):
        _training(photos, augmentation=augmentation, num_shards=2)


def test_rows_are_normalised_as_pixels_are():
    image = tf.random.stateless_uniform([5, 7, 3], [0, 0], 0, 255)
    preprocessing = Preprocessing(size=(5, 7), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    expected = normalize(image, preprocessing)
    np.testing.assert_array_equal(normalize_rows(image, preprocessing), expected)


def _resized(crop, size, resampling="bilinear"):
    """A crop as training, as evaluation and as a resize without antialias make it."""
    preprocessing = Preprocessing(
        size=size, resize="squash", resampling=resampling, mean=(0.0,) * 3, std=(1 / 255,) * 3
    )
    return (
        resize_crop(tf.constant(crop), preprocessing).numpy(),
        preprocess_input(crop, preprocessing).numpy(),
        tf.image.resize(crop, preprocessing.size, resampling).numpy(),
    )


@pytest.fixture(scope="module")
def crop():
    """A crop of a photo, 64 x 96 pixels."""
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("flower.jpg")[150:214, 200:296])


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [96, 150, (64, 96), (200, 300)])
def test_a_crop_is_made_larger_as_in_evaluation(crop, size, resampling):
    result, expected, _ = _resized(crop, size, resampling)
    np.testing.assert_allclose(result, expected, atol=0.01)


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [16, 24, 40, (32, 64)])
def test_a_crop_is_made_smaller_nearly_as_in_evaluation(crop, size, resampling):
    result, expected, _ = _resized(crop, size, resampling)
    assert result.shape == expected.shape and result.dtype == np.float32
    assert np.abs(result - expected).mean() < 3


@pytest.mark.parametrize("size", [12, 20, 26])
def test_a_crop_is_made_smaller_with_antialias(size):
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    result, _, aliased = _resized(noise, size)
    assert result.std() < 0.75 * aliased.std()


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("start", "place"), [(1, {}), (9, {"num_shards": 2, "shard_index": 1})], ids=["one", "of two"]
)
def test_a_stream_goes_on_from_any_step(split, whole, start, place):
    """24 images make 4 steps a pass: within the first, and in the third."""
    rows = slice(3, None) if place else slice(None)
    resumed = _take(_training(split, augmentation=SOME, start_step=start, **place), 3)
    rest = whole[start : start + 3]
    assert_equal(resumed, [[values[rows] for values in batch] for batch in rest])


def test_a_worker_decodes_its_own_images_alone(split):
    """The other worker's rows and the steps behind are broken files here, and nobody notices."""

    def broken(wanted):
        def read(reference):
            image = tf.where(reference["label"] == wanted, reference["image"], b"broken")
            return {**reference, "image": image}

        fixed = dataclasses.replace(split, shuffle_buffer=1)  # labels 0 and 1 in turn
        return dataclasses.replace(fixed, references=lambda: split.references().map(read))

    place = {"num_shards": 2, "shard_index": 1, "start_step": 1}
    _take(_training(broken(1), batch_size=2, **place), 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        _take(_training(broken(0), batch_size=2, **place), 3)


def test_small_images_are_decoded_once(split, monkeypatch):
    """The same numbers as from images that are decoded in each epoch; they are decoded once."""
    decoded = []

    def read():
        def note(reference):
            tf.py_function(lambda: decoded.append(1), [], [])
            return reference

        return split.references().map(note)

    noted = dataclasses.replace(split, references=read)
    kept = _take(_training(noted, augmentation=SOME), 12)  # three passes
    assert len(decoded) == 24
    passes = evaluation_batches(noted, GREY, batch_size=5, num_classes=2, keep=True)
    assert_equal(_take(passes, 9), _take(passes, 9))
    assert len(decoded) == 48
    monkeypatch.setattr(pipeline, "_KEPT_BYTES", 0)
    assert_equal(_take(_training(noted, augmentation=SOME), 12), kept)
    assert len(decoded) > 48 + 48


def test_evaluation_is_shared_image_by_image(split, evaluated):
    images = np.concatenate([images for images, _ in evaluated])
    part = evaluation_batches(split, GREY, batch_size=3, num_classes=2, num_shards=3, shard_index=1)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in part]), images[1::3])


def test_impossible_numbers_are_refused(split):
    with pytest.raises(ValueError, match="batch_size"):
        _training(split, batch_size=0)
    with pytest.raises(ValueError, match="multiple of `num_shards`.*batch_size=6, num_shards=4"):
        _training(split, num_shards=4)
    for place in ({"num_shards": 2, "shard_index": 2}, {"shard_index": -1}, {"num_shards": 0}):
        with pytest.raises(ValueError, match="`shard_index` to lie in"):
            _training(split, **place)
    with pytest.raises(ValueError, match="start_step"):
        _training(split, start_step=-1)
    with pytest.raises(ValueError, match="2 channels"):
        _training(split, preprocessing=Preprocessing(size=8, mean=(0.5,) * 2, std=(0.5,) * 2))


def test_a_photo_held_sideways_is_seen_upright_as_in_prediction(tmp_path, image_sets):
    from PIL import Image

    from keras_vit.data.folders import read_folder
    from keras_vit.images.pillow_decoding import load_image

    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    ramp = np.linspace(0, 255, 16 * 24).reshape(16, 24).astype(np.uint8)
    folder = image_sets.write_folder(tmp_path, {"a": 4, "b": 4})
    for path in [path for path in folder.rglob("*.*") if path.is_file()]:
        path.unlink()
        name = path.with_suffix(".jpg")
        Image.fromarray(ramp).convert("RGB").save(name, exif=exif, quality=95)
    preprocessing = Preprocessing(size=8)
    data = read_folder(folder)
    ((images, _),) = evaluation_batches(data.validation, preprocessing, batch_size=4, num_classes=2)
    np.testing.assert_allclose(images[0], load_image(name, preprocessing), atol=4 / 127.5)


@pytest.mark.slow
def test_an_objective_makes_its_own_examples(image_sets):
    """From image, label and a seed that belongs to the image: the same for any worker and pass."""
    split = image_sets.data_in_memory().train

    def targets(image, label, seed):
        return (image, tf.random.stateless_uniform([2], seed)), label, tf.constant(1.0)

    arguments = {"batch_size": 6, "targets": targets}
    (_, drawn), labels, weights = next(iter(evaluation_batches(split, GREY, **arguments)))
    assert (labels.dtype, weights.shape) == (tf.int64, (6,))
    shard = evaluation_batches(split, GREY, num_shards=2, shard_index=1, **arguments)
    np.testing.assert_array_equal(next(iter(shard))[0][1][:3], drawn[1::2])
    whole = training_batches(split, GREY, seed=3, start_step=1, **arguments)
    half = training_batches(
        split, GREY, seed=3, start_step=1, num_shards=2, shard_index=1, **arguments
    )
    (_, drawn), *_ = next(iter(whole))
    np.testing.assert_array_equal(next(iter(half))[0][1], drawn[3:])
    assert len(np.unique(drawn)) == 12


def test_labels_are_made_in_one_way(image_sets):
    with pytest.raises(ValueError, match="one of `num_classes` and `targets`"):
        evaluation_batches(image_sets.data_in_memory().train, GREY, batch_size=6)
