"""The order of training: every image as often, the same from any step and for any worker."""

import collections
import dataclasses

import numpy as np
import pytest

from keras_vit.data.stream import row_order, shuffled_stream, training_stream


@pytest.fixture
def split(image_sets):
    """24 images in memory."""
    return image_sets.data_in_memory().train


def _images(stream, count):
    return [reference["image"] for reference in stream.take(count).as_numpy_iterator()]


def _places(stream, count):
    return [
        (int(place), reference["image"])
        for place, reference in stream.take(count).as_numpy_iterator()
    ]


def test_every_pass_has_each_image_once_in_another_order(split):
    stream = _images(shuffled_stream(split, 0), 72)
    passes = [stream[start : start + 24] for start in (0, 24, 48)]
    for one in passes:
        assert collections.Counter(one) == collections.Counter(passes[0])
        assert len(set(one)) == 24
    assert passes[0] != passes[1] != passes[2]


@pytest.mark.parametrize("buffer", [24, 5])
@pytest.mark.parametrize("start", [1, 23, 24, 55])
def test_skipped_references_leave_the_rest_as_it_was(split, buffer, start):
    """Also where the buffer of the shuffle holds less than the split, as with large TFDS sets."""
    split = dataclasses.replace(split, shuffle_buffer=buffer)
    whole = _images(shuffled_stream(split, 3), start + 30)
    assert _images(shuffled_stream(split, 3, start), 30) == whole[start:]


def test_whole_passes_are_skipped_unread(split):
    """A reading of what is skipped here would take hours."""
    assert len(_images(shuffled_stream(split, 0, 10**12), 30)) == 30


@pytest.mark.few(2)
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("start, shards", [(0, 2), (1, 1), (4, 4), (13, 2)])
def test_workers_share_the_rows_of_every_batch(split, repeats, start, shards):
    batch, steps = 8, 4
    options = {"batch_size": batch, "repeats": repeats}
    whole = _places(training_stream(split, 0, **options), batch * (start + steps))
    whole = whole[batch * start :]
    rows = batch // shards
    for index in range(shards):
        part = training_stream(
            split, 0, **options, start_step=start, num_shards=shards, shard_index=index
        )
        expected = [
            whole[step * batch + row]
            for step in range(steps)
            for row in range(index * rows, (index + 1) * rows)
        ]
        assert _places(part, rows * steps) == expected


def test_an_image_is_repeated_within_a_batch_at_places_of_its_own(split):
    shown = _places(training_stream(split, 0, batch_size=6, repeats=3), 72)
    assert sorted(place for place, _ in shown) == list(range(72))
    for step in range(12):
        batch = [image for _, image in shown[6 * step : 6 * step + 6]]
        assert sorted(collections.Counter(batch).values()) == [3, 3]
    counts = collections.Counter(image for _, image in shown)
    assert len(counts) == 24 and set(counts.values()) == {3}


def test_neighbours_differ_though_images_are_repeated(split):
    shown = [image for _, image in _places(training_stream(split, 1, batch_size=8, repeats=3), 96)]
    for start in range(0, 96, 2):
        assert shown[start] != shown[start + 1]


def test_the_order_of_rows_holds_each_place_once():
    assert row_order(5, 1).tolist() == [0, 1, 2, 3, 4]
    assert row_order(7, 3).tolist() == [0, 3, 6, 1, 4, 2, 5]
    np.testing.assert_array_equal(np.sort(row_order(32, 3)), np.arange(32))
