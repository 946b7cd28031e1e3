"""The study of few labels draws, repeats and tells what it says."""

import numpy as np

from benchmarks import few_labels


def test_a_few_of_each_class_are_drawn_and_repeated():
    labels = np.repeat(np.arange(4), 30)
    split = few_labels.split_of("train", [b"%d" % n for n in range(120)], labels)
    drawn, once, often = few_labels.few(split, 5, seed=1)
    assert np.bincount(labels[drawn]).tolist() == [5] * 4
    assert once.num_examples == 20 and often.num_examples == 320
    other, _, _ = few_labels.few(split, 5, seed=2)
    assert set(drawn) != set(other)
    assert set(often.labels()) == {0, 1, 2, 3}


def test_a_split_without_labels_has_its_images():
    split = few_labels.split_of("train", [b"1", b"2", b"3"], [2, 0, 1])
    bare = few_labels.without_labels(split)
    assert bare.labels().tolist() == [0, 0, 0]
    assert [one["image"] for one in bare.references().as_numpy_iterator()] == [b"1", b"2", b"3"]


def test_textures_are_learned_and_tested_on_apart():
    subject = few_labels.textures(train=2, test=1, side=24)
    assert subject.data.train.num_examples == 16 and subject.data.test.num_examples == 8
    assert len(set(subject.data.class_names)) == 8


def test_the_table_has_means_spread_and_wins():
    rows = [
        {"subject": "digits", "run": "1 labels a class", "seed": seed,
         "accuracy": {few_labels.PROBED: 0.5 + seed / 10, few_labels.SCRATCH: 0.55}}
        for seed in range(3)
    ]  # fmt: skip
    lines = few_labels.table(rows).splitlines()
    assert few_labels.SCRATCH in lines[1] and "55.0 ± 0.0 %" in lines[1]
    assert "60.0 ± 10.0 %" in lines[2] and lines[2].endswith("2 of 3")
