"""Trains tiny models, each once as a whole and once killed again and again; a program of its own.

`python killed_runs.py FOLDER` imports TensorFlow once and forks a process for each life of each
run. Of each kind of `objective_cases.py` it leaves a folder with what both runs left and said, and
`deaths.json`: what each death interrupted.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

import lives
import objective_cases

KILLS = {"classes": 10, "masked": 3, "distilled": 3, "labels": 3, "adapters": 5}
STEPS = 60


def _train(folder, kind):
    """One life: a tiny run with everything that has a state."""
    import tensorflow as tf

    from keras_vit.data import pipeline
    from keras_vit.data.augmentation import Augmentation
    from keras_vit.models.config import VisionTransformerConfig
    from keras_vit.training import train
    from keras_vit.training.recipes import Recipe

    # All images are PNG, and a life is short: what is not under test here need not be traced.
    pipeline.decode_image = lambda data, channels: tf.io.decode_png(data, channels=channels)
    if kind != "classes":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
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
    return lives.start(f"{folder}.log", _train, folder, kind)


def _wait_for(pid, happened):
    """Waits until something happened; returns False if the process ended by itself before."""
    end = time.monotonic() + lives.PATIENCE
    while not happened():
        if (code := lives.ended(pid)) is not None:
            if code:
                raise RuntimeError(f"a life ended with {code}")
            return False
        if time.monotonic() > end:
            raise RuntimeError("a life takes too long")
        time.sleep(0.001)
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
            alive = _wait_for(pid, lambda: len(names() - before) >= number)  # noqa: B023
            if moment == "saving":
                alive = alive and _wait_for(pid, is_saving)
            else:
                time.sleep(chance.uniform(0, 0.1))
        if not alive or lives.ended(pid) is not None:
            return deaths
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deaths.append([moment, is_saving()])
    return deaths


def _last_life(folder, kind):
    if lives.wait([_life(folder, kind)]) != [0]:
        raise RuntimeError("a life did not come to its end")


def main(folder):
    import tensorflow  # noqa: F401

    import keras_vit.training  # noqa: F401

    for kind, kills in KILLS.items():
        of_kind = pathlib.Path(folder) / kind
        of_kind.mkdir()
        try:
            _last_life(of_kind / "whole", kind)
            deaths = _kill_again_and_again(of_kind / "killed", kills, 0, kind)
            _last_life(of_kind / "killed", kind)
        except RuntimeError as error:
            (of_kind / "error.log").write_text(str(error))
        else:
            (of_kind / "deaths.json").write_text(json.dumps(deaths))


if __name__ == "__main__":
    main(sys.argv[1])
