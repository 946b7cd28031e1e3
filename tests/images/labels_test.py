"""Class names and decode_predictions."""

import numpy as np
import pytest

from keras_vit.images.labels import (
    best_columns,
    check_labels,
    decode_predictions,
    imagenet_classes,
    labels_beside,
    read_labels,
)


@pytest.mark.parametrize(
    ("column", "wordnet_id", "name"),
    [
        (0, "n01440764", "tench"),
        (2, "n01484850", "great_white_shark"),
        (134, "n02012849", "crane"),
        (207, "n02099601", "golden_retriever"),
        (281, "n02123045", "tabby"),
        (517, "n03126707", "crane"),
        (850, "n04399382", "teddy"),
        (999, "n15075141", "toilet_tissue"),
    ],
)
def test_imagenet_1k_columns(column, wordnet_id, name):
    preds = np.zeros((1, 1000))
    preds[0, column] = 1
    assert decode_predictions(preds, top=1) == [[(wordnet_id, name, 1.0)]]


@pytest.mark.parametrize(
    ("column", "wordnet_id", "name"),
    [(0, "n00004475", "organism"), (1, "n00005787", "benthos"), (21842, "n15102894", "knothole")],
)
def test_imagenet_21k_columns(column, wordnet_id, name):
    classes = imagenet_classes(21843)
    assert classes[column][0] == wordnet_id and classes[column][1].startswith(name)
    preds = np.zeros((1, 21843), "float32")
    preds[0, column] = 3
    assert decode_predictions(preds, top=1)[0][0][::2] == (wordnet_id, 3.0)


@pytest.mark.parametrize("count", [1000, 21843])
def test_class_ids_are_unique_and_sorted(count):
    ids = [wordnet_id for wordnet_id, _ in imagenet_classes(count)]
    assert len(set(ids)) == count and ids == sorted(ids)
    assert all(len(key) == 9 and key[0] == "n" and key[1:].isdigit() for key in ids)
    assert all(name.strip() for _, name in imagenet_classes(count))


def test_google_counts_two_classes_more_than_the_fall_2011_release():
    ids = dict(imagenet_classes(21843))
    assert {"n03931044", "n09859684"} <= ids.keys()
    assert set(dict(imagenet_classes(1000))) - ids.keys() == {"n04399382"}


def test_best_first_and_ties_by_column():
    rows = decode_predictions([[0.1, 0.4, 0.1, 0.4], [4, -1, 2, 3]], 3, labels=list("abcd"))
    assert rows[0] == [(1, "b", 0.4), (3, "d", 0.4), (0, "a", 0.1)]
    assert rows[1] == [(0, "a", 4.0), (3, "d", 3.0), (2, "c", 2.0)]


def test_tensors_low_precision_and_no_rows():
    import keras

    preds = keras.ops.cast([[0.0, 2.0]], "bfloat16")
    assert decode_predictions(preds, labels=["no", "yes"]) == [[(1, "yes", 2.0), (0, "no", 0.0)]]
    assert decode_predictions(np.zeros((0, 1000))) == []


def test_class_names_are_labels():
    preds = [[0.1, 0.9]]
    named = decode_predictions(preds, class_names=("ant", "bee"))
    assert named == decode_predictions(preds, labels=["ant", "bee"])
    with pytest.raises(ValueError, match="Received both"):
        decode_predictions(preds, labels=["ant", "bee"], class_names=["ant", "bee"])


def test_an_unknown_class_count_says_what_is_known():
    with pytest.raises(ValueError, match=r"\[1000, 21843\].*Received: 10.*labels="):
        decode_predictions(np.zeros((1, 10)))


@pytest.mark.parametrize("shape", [(1000,), (1, 2, 1000)])
def test_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(batch, classes\)"):
        decode_predictions(np.zeros(shape))


@pytest.mark.parametrize("top", [0, -1, 1.5, True])
def test_an_impossible_top_is_refused(top):
    with pytest.raises(ValueError, match="Expected `top`"):
        decode_predictions(np.zeros((1, 1000)), top=top)


@pytest.mark.parametrize(
    "labels", ["ab", ["a"], ["a", ""], ["a", "b\nc"], ["a", 2], None, {"a", "b"}]
)
def test_wrong_labels_are_refused(labels):
    with pytest.raises(ValueError, match="Expected"):
        check_labels(labels, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "ant\nbee\n"),
        ("with a mark.txt", "\ufeffant\r\nbee\r\n"),
        ("with a mark.json", '\ufeff["ant", "bee"]'),
        ("labels.json", '["ant", "bee"]'),
        ("summary.json", '{"class_names": ["ant", "bee"], "steps": 3}'),
        ("metadata.json", '{"labels": ["ant", "bee"]}'),
    ],
)
def test_labels_come_from_text_and_json(tmp_path, name, content):
    (tmp_path / name).write_text(content, "utf-8")
    assert read_labels(tmp_path / name, 2) == ["ant", "bee"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b"ant\n"), ("b.json", b"{"), ("c.json", b'{"x": 1}'), ("d.txt", b"\xff\n\xfe\n")],
)
def test_a_file_without_the_labels_is_named_in_the_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_labels(tmp_path / name, 2)


def test_labels_beside_a_model(tmp_path):
    model = tmp_path / "model.keras"
    assert labels_beside(model, 2) is None
    (tmp_path / "summary.json").write_text('{"class_names": ["ant", "bee"]}')
    assert labels_beside(model, 2) == ["ant", "bee"]
    assert labels_beside(model, 3) is None


@pytest.mark.parametrize(("count", "dtype"), [(40, "float64"), (5000, "float32")])
def test_the_best_of_many_are_those_of_a_stable_sort(count, dtype):
    rng = np.random.default_rng(0)
    scores = (rng.integers(0, count // 8, (20, count)) / 4).astype(dtype)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    scores[0, 3:] = np.nan
    for top in (1, 5, 700, count - 1, count, count + 1):
        expected = np.argsort(-scores, axis=-1, kind="stable")[:, :top]
        found = [best_columns(row, top) for row in scores]
        np.testing.assert_array_equal(found, expected)
