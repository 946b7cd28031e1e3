"""A table of a folder tells labels, values or classes, and every fault of it before training."""

import numpy as np
import pytest

from keras_vit.data import load
from keras_vit.data.dataset import ImageDataset
from keras_vit.data.stratify import label_groups, stratified_split
from keras_vit.images.spec import Preprocessing

GREY = Preprocessing(size=8, mean=(0.5,), std=(0.5,))


@pytest.fixture
def folder(image_sets, tmp_path):
    """A folder of ten images `0.png` and so on, to which a test writes tables."""
    for number in range(10):
        data = image_sets.encode(image_sets.picture(0, number))
        (tmp_path / f"{number}.png").write_bytes(data)
    return tmp_path


def write(folder, header, cells, name="labels.csv", first=0):
    rows = [f"{first + number}.png,{cell}" for number, cell in enumerate(cells)]
    (folder / name).write_text("\n".join([f"file,{header}", *rows]) + "\n", encoding="utf-8-sig")


def labels_of(data):
    """The label of each file."""
    found = {}
    for split in data.splits.values():
        for each in split.references().as_numpy_iterator():
            found[int(each["image"].decode().split("/")[-1][:-4])] = each["label"].tolist()
    return [found[number] for number in sorted(found)]


BITS = [f"{number % 2},{int(number < 4)}" for number in range(10)]
WORDS = ["sun; sea", "sea", "", "sun", "sea;sun", "sun", "", "sea", "sun", "sea"]


@pytest.mark.parametrize(
    "header, cells, task, names, second",
    [
        ("odd,small", BITS, "labels", ("odd", "small"), [1.0, 1.0]),
        ("labels", WORDS, "labels", ("sea", "sun"), [1.0, 0.0]),
        ("odd", "0101010101", "binary", ("odd",), [1.0]),
        ("age", [f"{number}.5" for number in range(10)], "regression", ("age",), [1.5]),
        ("x,y", [f"{n / 4},-{n}e1" for n in range(10)], "regression", ("x", "y"), [0.25, -10.0]),
        ("kind", ["cat", "dog"] * 5, "classes", ("cat", "dog"), 1),
    ],
)
def test_columns_tell_the_task(folder, header, cells, task, names, second):
    write(folder, header, cells)
    data = load(folder)
    assert (data.task, data.class_names) == (task, names)
    assert labels_of(data)[1] == second
    held_out = data.validation.num_examples
    assert held_out in (2, 3) and data.train.num_examples == 10 - held_out
    assert data.train.labels().shape == (10 - held_out, *np.shape(second))


def test_batches_have_a_number_for_each_label(folder):
    write(folder, "x,y", [f"{n / 4},-{n}e1" for n in range(10)])
    images, labels = next(iter(load(folder).batches(GREY, 8, "validation")))
    assert images.shape == (2, 8, 8, 1)
    assert set(labels[:, 1].numpy() / labels[:, 0].numpy()) == {-40.0}


def test_a_task_can_be_asked_for(folder):
    write(folder, "count", "0011001100")
    assert load(folder).task == "binary"
    data = load(folder, task="regression")
    assert data.task == "regression" and "values of count" in data.describe()
    with pytest.raises(ValueError, match="several columns of 0 and 1 for labels.*count"):
        load(folder, task="labels")


def test_tables_of_splits_stay_apart(folder):
    write(folder, "odd", "0101010", "train.csv")
    write(folder, "odd", "10", "validation.csv", first=7)
    with pytest.warns(UserWarning, match="1 images below .* no table has them, such as '9.png'"):
        data = load(folder)
    assert {role: split.num_examples for role, split in data.splits.items()} == {
        "train": 7, "validation": 2,
    }  # fmt: skip
    write(folder, "odd", "1", "test.csv", first=8)
    with pytest.raises(ValueError, match="test.csv, line 2: '8.png' again, after validation.csv"):
        load(folder)


@pytest.mark.parametrize(
    "header, cells, message",
    [
        ("odd", ["0", "1", "2", *"1111111"], "0 or 1 in every.*line 4: '2' as odd"),
        ("odd", ["0", "", *"11111111"], "line 3: '' as odd"),
        ("age", ["1.5", "n/a", *"23456789"], "finite numbers.*line 3: 'n/a' as age"),
        ("age", ["1.5", "inf", *"23456789"], "line 3: 'inf' as age"),
        ("kind", ["cat", "", *["dog"] * 8], "line 3: no class"),
        ("odd", [*"0101010101", "1"], "line 12: no file '10.png'"),
        ("odd", [*"01", "1,1"], "Expected 2 cells in every row.*line 4 has 3"),
        ("odd,odd", ["0,1"], "names with commas between"),
        ("a,b", ["cat,dog"] * 10, "Received: a, b, most of whose cells are neither"),
        ("odd", [], "a header alone"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder, header, cells, message):
    write(folder, header, cells)
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_a_class_of_the_validation_table_alone_is_named(folder):
    write(folder, "kind", ["cat", "dog"] * 4, "train.csv")
    write(folder, "kind", ["cow", "dog"], "validation.csv", first=8)
    with pytest.raises(ValueError, match="validation.csv, line 2: cow"):
        load(folder)


def test_ten_places_are_named_and_the_rest_counted(folder):
    write(folder, "odd", ["1"] * 10 + ["0"] * 15)
    with pytest.raises(ValueError, match="line 21: no file '19.png'; and 5 more"):
        load(folder)


def test_broken_images_are_left_out_with_their_labels(folder):
    write(folder, "number", map(str, range(2, 12)))
    (folder / "3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be read: '3.png'"):
        load(folder)
    with pytest.warns(UserWarning, match="1 of 10 files"):
        data = load(folder, skip_corrupt=True)
    assert labels_of(data) == [[float(n)] for n in range(2, 12) if n != 5]


def test_a_label_that_never_changes_is_told_of(folder):
    write(folder, "odd,all", [f"{number % 2},1" for number in range(10)])
    with pytest.warns(UserWarning, match="teaches nothing: all"):
        load(folder)


def test_of_two_classes_the_second_can_be_the_label(image_sets, tmp_path):
    image_sets.write_folder(tmp_path, {"cat": 5, "dog": 5})
    data = load(tmp_path, task="binary")
    assert (data.task, data.class_names) == ("binary", ("dog",))
    np.testing.assert_array_equal(data.train.labels(), [[0.0]] * 4 + [[1.0]] * 4)
    with pytest.raises(ValueError, match="task 'regression'.*2 classes"):
        load(tmp_path, task="regression")


def test_rare_labels_are_on_both_sides():
    labels = np.zeros((100, 3))
    labels[:, 0] = 1
    labels[:10, 1] = 1
    labels[[3, 50], 2] = 1
    kept, held_out = stratified_split(label_groups(labels), 0.2, 0)
    assert labels[held_out].sum(axis=0).tolist() == [21, 3, 1]
    assert len(kept) == 79
    values = np.arange(100.0)[:, None] + 0.5
    _, held_out = stratified_split(label_groups(values), 0.2, 0)
    assert np.histogram(held_out, 5, (0, 100))[0].tolist() == [4] * 5


def test_one_label_alone_is_no_set_of_labels():
    with pytest.raises(ValueError, match="at least two classes"):
        ImageDataset("x", ("a",), task="labels")
