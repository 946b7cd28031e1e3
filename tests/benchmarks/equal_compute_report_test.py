"""Runs become rows, a table and a picture."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import equal_compute_report as report


def run(model, share, seed, accuracy, flops=2e12):
    return {
        "model": model, "share": share, "seed": seed, "accuracy": accuracy, "seconds": 10.0 + seed,
        "parameters": 1_234_567, "flops_an_image": 4_700_000, "steps": 100, "batch_size": 32,
        "flops": flops * share, "split": "test",
    }  # fmt: skip


RUNS = [
    run("ours", 0.5, 0, 0.90), run("ours", 0.5, 1, 0.94), run("theirs", 0.5, 0, 0.3),
    run("ours", 1.0, 0, 0.98), run("ours", 1.0, 1, 0.98), run("theirs", 1.0, 0, 0.6),
]  # fmt: skip


def test_the_seeds_of_a_model_at_a_budget_are_one_row():
    rows = report.summarize_runs(RUNS)
    assert [(row["model"], row["share"]) for row in rows] == [
        ("ours", 0.5), ("theirs", 0.5), ("ours", 1.0), ("theirs", 1.0),
    ]  # fmt: skip
    assert rows[0]["accuracy"] == pytest.approx(0.92)
    assert (rows[0]["lowest"], rows[0]["highest"]) == (0.90, 0.94)
    assert rows[0]["accuracies"] == [0.90, 0.94]
    assert rows[0]["seconds"] == 10.5


def test_the_table_says_mean_and_range():
    table = report.comparison_table(report.summarize_runs(RUNS)).splitlines()
    assert table[2] == (
        "| 50 % | ours | 1,234,567 | 0.0047 | 100 | 1,000 | 92.0 (90.0 to 94.0) | 10 |"
    )
    assert "| 30.0 |" in table[3]  # one seed has no range
    assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize("runs", [RUNS, RUNS[:1]], ids=["many", "one"])
def test_a_picture_is_written_whole(tmp_path, runs):
    rows = report.summarize_runs(runs)
    report.plot_comparison(rows, tmp_path / "plot.png", title="digits")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    image = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB")).astype(int)
    assert image.shape[0] > 400 and image.shape[1] > 600
    blue = np.abs(image - [0x00, 0x72, 0xB2]).sum(axis=-1) < 30
    assert blue.sum() > 20
