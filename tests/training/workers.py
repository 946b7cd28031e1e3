"""Trains tiny models on one replica, on two, and on two workers that die; a program of its own.

`python workers.py FOLDER` imports TensorFlow once and forks a process for each run, or two where
there are two workers. Of each run it leaves a folder with what each process said and, for each kind
of `objective_cases.py`, what `train` leaves, `weights.npz` and `result.json`. `codes.json` has the
exit codes.
"""

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import keras
import lives
import numpy as np
import objective_cases

from keras_vit import training
from keras_vit.data import Augmentation
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.training.strategies import make_strategy

CONFIG = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                                 num_layers=1, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
RECIPE = training.Recipe(
    epochs=4, batch_size=8, learning_rate=0.02, optimizer="sgd", ema_momentum=0.9,
    accumulation_steps=2, augmentation=Augmentation(translation=0.05, mixup_alpha=0.5),
)  # fmt: skip
ON_WORKERS = ("masked", "distilled", "adapters")


class Death(keras.callbacks.Callback):
    """Sends this process a signal after its fifth step."""

    def __init__(self, number):
        super().__init__()
        self.number, self.steps = number, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 5:
            os.kill(os.getpid(), self.number)


def train(folder, strategy, kinds, cluster=None, worker=0, death=None):
    """Trains a model of each kind, one after the other; `death` is a signal to the last worker."""
    if cluster:
        task = {"type": "worker", "index": worker}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    strategy = make_strategy(strategy, replicas=2 if strategy == "mirrored" else None)
    for kind in kinds:
        with strategy.scope():
            recipe, model, data, objective = objective_cases.case(kind, CONFIG, RECIPE)
        callbacks = [Death(death)] if death and worker == 1 else []
        try:
            result = training.train(recipe, model, data, output_dir=folder / kind, verbose=0,
                                    objective=objective, checkpoint_every=2,
                                    callbacks=callbacks)  # fmt: skip
        except (training.WorkerLostError, SystemExit) as error:
            print(type(error).__name__, error, flush=True)
            sys.exit(1)
        if worker == 0:
            lines = [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")}
                     for line in result.history]  # fmt: skip
            np.savez(folder / kind / "weights.npz", *model.get_weights())
            told = {"history": lines, "resumed": result.summary["resumed_at_steps"]}
            (folder / kind / "result.json").write_text(json.dumps(told))


def run(folder, name, *arguments):
    """Forks the process of a run, waits for it and returns its exit code in a list."""
    folder.mkdir(exist_ok=True)
    return lives.wait([lives.start(folder / f"{name}.log", train, folder, *arguments)])


def run_workers(folder, name, kinds, death=None):
    """Does the same with two workers."""
    folder.mkdir(exist_ok=True)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    cluster = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return lives.wait([
        lives.start(folder / f"{name}{worker}.log", train, folder, "multi_worker", kinds, cluster,
                    worker, death)
        for worker in range(2)
    ])  # fmt: skip


def main(folder):
    folder, codes = Path(folder), {}
    for name in ("none", "mirrored"):
        codes[name] = run(folder / name, "log", name, objective_cases.KINDS)
    codes["workers"] = run_workers(folder / "workers", "log", ON_WORKERS)
    mortal = folder / "mortal"
    for name, death in (("kill", signal.SIGKILL), ("term", signal.SIGTERM), ("finish", None)):
        codes[name] = run_workers(mortal, name, ["classes"], death)
        shutil.copytree(mortal / "classes" / "checkpoints", mortal / f"after_{name}")
    (folder / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(sys.argv[1])
