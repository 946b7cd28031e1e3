"""Blocks of steps beside bare ones, and functions that take turns."""

import pytest

from benchmarks import fit_overhead, quick_start, small_images, small_models, start_up


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now

    def takes(self, seconds):
        def run():
            self.now += seconds

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (fit_overhead, small_models):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_block_is_a_multiple_of_the_faster_bare_step_around_it(clock):
    bare = {"plain": clock.takes(2.0), "xla": clock.takes(1.0)}
    pauses = fit_overhead.Pauses(bare, block=3, skipped=1, bare_steps=4)
    for _ in range(3):
        for seconds in (50.0, 1.5, 1.1):
            clock.now += seconds
            pauses.on_train_batch_end(0)
    medians, ratios = pauses.summary()
    assert medians == {"plain": 2.0, "xla": 1.0}
    assert ratios == [pytest.approx(1.3)] * 2  # the first block only warms up


def test_functions_are_timed_in_turn(clock):
    runs = {"a": clock.takes(1.0), "b": clock.takes(3.0)}
    assert small_models.in_turn(runs, 2) == {"a": 1.0, "b": 3.0}


def test_small_images_are_changed_both_ways():
    (times,) = small_images.measure_changes(["flip"], size=8, batch_size=4, count=2).values()
    assert len(times) == 2 and min(times) > 0


def test_commands_that_only_talk_do_not_load_keras():
    seconds = start_up.measure_commands(repeats=1)
    assert seconds.keys() == start_up.COMMANDS.keys()
    assert 0 < max(seconds.values()) < 2


def test_the_quick_start_says_what_it_was():
    result = {"seconds": [60.0], "accuracy": [0.98], "before_s": 240.0, "before_step_s": 0.04}
    lines = quick_start.format_quick_start(result).splitlines()
    assert lines == [
        "quick start: 60 s, 98.00 %",
        "before: 240 s, of which 5,280 steps of 40.0 ms (from short runs)",
    ]
