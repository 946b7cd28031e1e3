"""Columns of text."""

from keras_vit.benchmark.table import align


def test_the_first_column_stands_left_and_the_others_right():
    assert align([("name", "s"), ("a", "10.5")]) == ["name     s", "a     10.5"]
