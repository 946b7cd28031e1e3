"""The benchmark of the pipeline: all pipelines alike, figures that add up."""

import math

import pytest

from benchmarks import pipeline
from benchmarks.photos import write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of eight photos."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, 8)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(pipeline.PIPELINES))
def test_every_pipeline_makes_the_same_kind_of_batches(photos, name):
    for images, labels in pipeline.PIPELINES[name](str(photos), 4, 64).take(3):
        assert images.shape == (4, 64, 64, 3) and labels.shape == (4, 2)
        assert -1.001 <= images.numpy().min() < -0.3 and 0.3 < images.numpy().max() <= 1.001


def test_figures_and_table(monkeypatch):
    class Batches(list):
        """Stands for a data set: any number of batches at once."""

        def __iter__(self):
            return iter([None] * 100)

    monkeypatch.setattr(
        pipeline, "PIPELINES", dict.fromkeys(pipeline.PIPELINES, lambda *_: Batches())
    )
    speeds = iter(
        [(1, 1)] * 3 + [(300, 2.0), (100, 4.0), (150, 3.0), (320, 1.0), (80, 4.0), (160, 3.0)]
    )
    monkeypatch.setattr(pipeline, "time_batches", lambda *_: next(speeds))
    result = pipeline.measure_pipeline(num_images=2, repeats=2)
    ours, same, simpler = pipeline.PIPELINES
    assert result["pipelines"][ours]["images_per_second"]["median"] == 310
    assert result["times_as_fast"][same] == {"median": 3.5, "lowest": 3.0, "highest": 4.0}
    assert result["times_as_fast"][simpler]["median"] == 2.0
    assert ours not in result["times_as_fast"]
    assert result["mean_file_kb"] > 5
    table = pipeline.format_pipeline(result)
    assert "3.50 (3.00-4.00)" in table and len(table.splitlines()) == 5


def test_a_run_is_timed_from_its_sixth_batch():
    seen = []

    def batches():
        for number in range(100):
            seen.append(number)
            yield number

    speed, cpu = pipeline.time_batches(batches(), 10, 32)
    assert len(seen) == 15
    assert math.isfinite(speed) and speed > 0 and cpu >= 0
