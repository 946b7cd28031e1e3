"""Features of files are kept by file and model, and searched a part at a time."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig
from keras_vit.evaluation import feature_model, image_index, index_images
from keras_vit.images.pillow_decoding import load_image

CONFIG = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=1,
                                 num_heads=2, mlp_dim=8, num_classes=3)  # fmt: skip


def build(seed=0, **fields):
    model = VisionTransformer(CONFIG.replace(**fields))
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five pictures, of which the fourth is the second again, and a file that is none."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    pictures = [random.integers(0, 256, (8, 8, 3), "uint8") for _ in range(5)]
    pictures[3] = pictures[1]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG nothing")
    return folder


@pytest.fixture
def counted(model, monkeypatch):
    """How many images are decoded."""
    seen = []

    def load(path, preprocessing):
        image = load_image(path, preprocessing)
        seen.append(os.path.basename(path))
        return image

    monkeypatch.setattr(image_index, "load_image", load)
    return seen


def files(photos):
    return sorted(photos.iterdir())


def test_vectors_are_the_features_at_length_one(model, photos, tmp_path):
    index = index_images(model, files(photos), cache=tmp_path)
    assert [os.path.basename(path) for path in index.paths] == [f"{n}.png" for n in range(5)]
    assert list(index.unreadable) == [str(photos / "broken.png")]
    prepared = np.stack([load_image(path, model) for path in index.paths])
    expected = feature_model(model).predict_on_batch(prepared)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors(), expected, atol=1e-6)
    np.testing.assert_allclose(index.vectors(1, 3), expected[1:3], atol=1e-6)


def test_an_image_is_looked_at_once_for_each_model_and_again_when_it_has_changed(
    model, photos, tmp_path, counted
):
    index_images(model, files(photos), cache=tmp_path)
    assert len(counted) == 5
    index_images(model, files(photos), cache=tmp_path)
    assert len(counted) == 5
    index_images(build(seed=1), files(photos), cache=tmp_path)
    assert len(counted) == 10
    index_images(model, files(photos), cache=tmp_path, pooling="gap")
    assert len(counted) == 15
    os.utime(photos / "2.png", ns=(1, 1))
    index_images(model, files(photos), cache=tmp_path)
    assert counted[15:] == ["2.png"]


def test_what_was_seen_before_a_failure_is_kept(model, photos, tmp_path, counted):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_images(model, files(photos), cache=tmp_path, batch_size=2, progress=stop)
    counted.clear()
    index_images(model, files(photos), cache=tmp_path, batch_size=2)
    assert sorted(counted) == ["2.png", "3.png", "4.png"]  # read by several threads


def test_a_damaged_part_of_the_cache_is_made_again(model, photos, tmp_path):
    before = index_images(model, files(photos), cache=tmp_path).vectors()
    (part,) = tmp_path.glob("*/*.npy")
    part.write_bytes(part.read_bytes()[:-9])
    after = index_images(model, files(photos), cache=tmp_path).vectors()
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize("pooling", ["token", "gap", "max", "avgmax", "token+gap"])
def test_any_pooling_without_weights_is_that_of_a_model_of_it(model, pooling, tmp_path):
    other = VisionTransformer(CONFIG.replace(pooling=pooling, num_classes=0))
    other.set_weights(model.get_weights()[:-2])  # all but the head
    images = np.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype("float32")
    network = feature_model(model, pooling=pooling)
    np.testing.assert_allclose(network(images), other(images), atol=1e-5)


def test_a_pooling_that_the_model_has_not_is_refused(model):
    with pytest.raises(ValueError, match="Expected a pooling without weights"):
        feature_model(model, pooling="map")
    with pytest.raises(ValueError, match="distillation"):
        feature_model(model, pooling="token+distillation")


def write_vectors(folder, vectors, rows):
    """An index over files of a cache that hold `rows` vectors each."""
    places = []
    for start in range(0, len(vectors), rows):
        file = folder / f"{start:08d}.npy"
        np.save(file, vectors[start : start + rows])
        places += [(file, row) for row in range(len(vectors[start : start + rows]))]
    paths = [str(number) for number in range(len(vectors))]
    return image_index.ImageIndex(paths, {}, places, vectors.shape[1])


def unit(*shape):
    vectors = np.random.default_rng(3).normal(size=shape).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_search_in_parts_finds_what_a_sorted_whole_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(image_index, "CHUNK", 4)
    vectors = unit(11, 5)
    index = write_vectors(tmp_path, vectors, rows=3)
    similarities, numbers = index.nearest(3 * vectors[:2], k=7)
    cosines = vectors[:2] @ vectors.T
    np.testing.assert_array_equal(numbers, np.argsort(-cosines, axis=1)[:, :7])
    np.testing.assert_allclose(similarities, -np.sort(-cosines, axis=1)[:, :7], atol=1e-5)
    assert index.nearest(vectors[:1], k=20)[1].shape == (1, 11)
    with pytest.raises(ValueError, match=r"shape \(queries, 5\)"):
        index.nearest(np.zeros((1, 6)))


def test_a_near_duplicate_stands_with_the_first_of_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(image_index, "CHUNK", 4)
    degrees = np.array([0, 90, 40, 91, 180, 46, 270, 52, 0])  # 40, 46, 52: a chain
    vectors = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)
    index = write_vectors(tmp_path, vectors.astype("float32"), rows=2)
    groups = index.near_duplicates(np.cos(np.deg2rad(7)))
    assert [[number for number, _ in group] for group in groups] == [[0, 8], [1, 3], [2, 5, 7]]
    similarities = [value for _, value in groups[2]]
    np.testing.assert_allclose(similarities, np.cos(np.deg2rad([0, 6, 6])), atol=1e-6)


def test_memory_does_not_grow_with_the_number_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(image_index, "CHUNK", 64)
    vectors = unit(2048, 64)
    index = write_vectors(tmp_path, vectors, rows=64)
    peaks = {}
    for search in (lambda: index.nearest(vectors[:2]), index.near_duplicates):
        search()  # imports
        tracemalloc.start()
        search()
        peaks[search] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # Parts are 16 kB, products of two as much; all vectors 524 kB, their products 17 MB.
    assert max(peaks.values()) < 250_000, peaks


@pytest.mark.slow
def test_the_signature_embed_serves_the_same_vectors(model, photos, tmp_path):
    tf = pytest.importorskip("tensorflow")
    from keras_vit import export

    export.saved_model(model, tmp_path / "served", labels=["a", "b", "c"])
    (folder,) = [path.parent for path in (tmp_path / "served").rglob("saved_model.pb")]
    served = tf.saved_model.load(folder)
    index = index_images(model, files(photos), cache=tmp_path / "cache")
    prepared = np.stack([load_image(path, model) for path in index.paths])
    features = served.signatures["embed"](images=tf.constant(prepared))["features"].numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors(), features, atol=1e-5)


def test_keys_name_files_and_nothing_else(model, photos, tmp_path):
    index_images(model, files(photos), cache=tmp_path)
    (keys,) = (json.loads(path.read_text()) for path in tmp_path.glob("*/*.json"))
    assert len(keys) == 5 and str(photos) in keys[0]
