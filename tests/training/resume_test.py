"""A run that is killed again and again ends bit for bit as the run that was never killed."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

# Of killed_runs.py.
KILLS = {"classes": 10, "masked": 3, "distilled": 3, "labels": 3, "adapters": 5}
STEPS = 60


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder in which each kind has a folder of what its runs left."""
    folder = tmp_path_factory.mktemp("runs")
    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    program = pathlib.Path(__file__).with_name("killed_runs.py")
    command = [sys.executable, str(program), str(folder)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=1800, check=False
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_a_killed_run_ends_as_the_whole_one(runs, kind):
    import numpy as np

    from keras_vit.training.state import read

    folder = runs / kind
    logs = "\n".join(path.read_text()[-3000:] for path in folder.glob("*.log"))
    assert (folder / "deaths.json").is_file(), logs
    deaths = json.loads((folder / "deaths.json").read_text())
    assert len(deaths) == KILLS[kind]
    assert sum(left for _, left in deaths) >= len(deaths) // 5, "too few deaths during a save"

    whole, killed = folder / "whole", folder / "killed"
    last = f"checkpoints/step_{STEPS:08d}.safetensors"
    one, other = read(whole / last), read(killed / last)
    assert one.arrays.keys() == other.arrays.keys()
    assert {name.split("/")[0] for name in one.arrays} == {"model", "optimizer"}
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name

    def lines(folder):
        times = ("seconds", "images_per_second")
        found = (folder / "history.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in times} for line in found]

    assert len(lines(whole)) == 15
    assert lines(killed) == lines(whole)
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (whole, killed)]
    assert summaries[0]["test_loss"] > 0
    told = {name for name in summaries[0] if name.startswith(("test_", "training_"))}
    for name in {*told, "best_epoch", "steps"}:
        assert summaries[0][name] == summaries[1][name]
    assert summaries[0]["resumed_at_steps"] == []
    assert len(summaries[1]["resumed_at_steps"]) >= len(deaths) // 2
    best = [read(folder / "checkpoints/best.safetensors") for folder in (whole, killed)]
    assert best[0].step == best[1].step == summaries[0]["best_epoch"]["step"]
    for name, array in best[0].arrays.items():
        np.testing.assert_array_equal(array, best[1].arrays[name])
    for folder in (whole, killed):
        hidden = [path for path in folder.rglob(".*") if path.is_file()]
        assert not hidden
