"""Columns of text."""

from keras_vit.tables import align

ROWS = [("name", "what", "s"), ("a", "b", "10.5")]


def test_the_first_columns_stand_left_and_the_others_right():
    assert align(ROWS) == ["name  what     s", "a        b  10.5"]
    assert align(ROWS, left=2) == ["name  what     s", "a     b     10.5"]
    assert align(ROWS, left=3) == ["name  what  s", "a     b     10.5"]


def test_no_rows_are_no_lines():
    assert align([]) == []
