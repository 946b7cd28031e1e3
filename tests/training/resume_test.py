"""A run that is killed again and again ends bit for bit as the run that was never killed.

`python resume_test.py FOLDER KILLS SEED KIND` is what the test starts: it imports TensorFlow once
and forks a process for each life of the run, before TensorFlow has run anything.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

# Of objective_cases.py.
KILLS = {"classes": 10, "masked": 3, "distilled": 3, "labels": 3, "adapters": 5}
STEPS = 60
PATIENCE = 120  # seconds that a life may take


def _train(folder, kind):
    """One life: a tiny run with everything that has a state."""
    import objective_cases

    from keras_vit.data.augmentation import Augmentation
    from keras_vit.models.config import VisionTransformerConfig
    from keras_vit.training import train
    from keras_vit.training.recipes import Recipe

    config = VisionTransformerConfig(
        image_size=8, in_channels=1, patch_size=4, hidden_size=8, num_layers=2, num_heads=2,
        mlp_dim=16, num_classes=2, dropout_rate=0.1, attention_dropout_rate=0.1, drop_path_rate=0.2,
    )  # fmt: skip
    augmentation = Augmentation(0.5, horizontal_flip=True, translation=0.1, rotation=10.0, zoom=0.1)
    recipe = Recipe(
        steps=STEPS, batch_size=5, learning_rate=3e-3, weight_decay=0.01, ema_momentum=0.9,
        label_smoothing=0.1, accumulation_steps=2, augmentation=augmentation,
    )  # fmt: skip
    recipe, model, data, objective = objective_cases.case(kind, config, recipe)
    train(
        recipe, model, data, output_dir=folder, objective=objective, checkpoint_every=1,
        deterministic=True, verbose=2,
    )  # fmt: skip


def _life(folder, kind):
    """Starts a life; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(f"{folder}.log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        _train(folder, kind)
        status = 0
    finally:
        sys.stdout.flush()
        if status:
            import traceback

            traceback.print_exc()
        os._exit(status)


def _ended(pid):
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _wait_for(pid, happened, pause=0.0):
    """Waits until something happened; returns False if the process ended by itself before."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if (code := _ended(pid)) is not None:
            if code:
                raise RuntimeError(f"a life ended with {code}")
            return False
        if time.monotonic() > end:
            raise RuntimeError("a life takes too long")
        time.sleep(pause)
    return True


def _kill_again_and_again(folder, kills, seed, kind):
    """Lives and deaths of one run; returns what each death interrupted."""
    chance, deaths = random.Random(seed), []
    checkpoints = folder / "checkpoints"

    def names():
        return set(os.listdir(checkpoints)) if checkpoints.is_dir() else set()

    def is_saving():  # a file that is being written has a name with a dot in front
        return any(name.startswith(".step") for name in names())

    while len(deaths) < kills:
        before, pid = names(), _life(folder, kind)
        moment = chance.choice(["saving", "saving", "stepping", "stepping", "starting"])
        if moment == "starting":
            alive = True
            time.sleep(chance.uniform(0, 3))
        else:
            number = chance.randint(1, 3)  # new checkpoints; no more than three are kept
            alive = _wait_for(pid, lambda: len(names() - before) >= number, 0.001)  # noqa: B023
            if moment == "saving":
                alive = alive and _wait_for(pid, is_saving)
            else:
                time.sleep(chance.uniform(0, 0.1))
        if not alive or _ended(pid) is not None:
            return deaths
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deaths.append([moment, is_saving()])
    _wait_for(pid := _life(folder, kind), lambda: False, pause=0.05)
    return deaths


def main(folder, kills, seed, kind):
    import tensorflow  # noqa: F401

    import keras_vit.training  # noqa: F401

    folder = pathlib.Path(folder)
    _wait_for(_life(folder / "whole", kind), lambda: False, pause=0.05)
    deaths = _kill_again_and_again(folder / "killed", int(kills), int(seed), kind)
    print(json.dumps(deaths))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_a_killed_run_ends_as_the_whole_one(tmp_path, kind):
    import numpy as np

    from keras_vit.training.state import read

    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, str(tmp_path), str(KILLS[kind]), "0", kind]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=900, check=False
    )
    logs = "\n".join(path.read_text()[-3000:] for path in tmp_path.glob("*.log"))
    assert result.returncode == 0, result.stderr + logs
    deaths = json.loads(result.stdout.splitlines()[-1])
    assert len(deaths) == KILLS[kind]
    assert sum(left for _, left in deaths) >= len(deaths) // 5, "too few deaths during a save"

    whole, killed = tmp_path / "whole", tmp_path / "killed"
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


if __name__ == "__main__":
    main(*sys.argv[1:])
