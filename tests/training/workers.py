"""Trains a tiny model as one worker, or as one process alone; a program of its own.

    workers.py STRATEGY FOLDER KIND [DEATH]

STRATEGY is `none`, `mirrored` or `multi_worker` (TF_CONFIG says which worker), KIND is one of
`objective_cases.py`. DEATH is `kill` or `term`: the second worker sends itself that signal after
its fifth step.
"""

import json
import os
import signal
import sys
from pathlib import Path

import keras
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


class Death(keras.callbacks.Callback):
    """Sends this process a signal after its fifth step."""

    def __init__(self, number):
        super().__init__()
        self.number, self.steps = number, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 5:
            os.kill(os.getpid(), self.number)


def main(name, folder, kind, death=None):
    worker = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0)
    strategy = make_strategy(name, replicas=2 if name == "mirrored" else None)
    with strategy.scope():
        recipe, model, data, objective = objective_cases.case(kind, CONFIG, RECIPE)
    deaths = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
    callbacks = [Death(deaths[death])] if death and worker == 1 else []
    try:
        result = training.train(recipe, model, data, output_dir=folder, objective=objective,
                                verbose=0, checkpoint_every=2, callbacks=callbacks)  # fmt: skip
    except (training.WorkerLostError, SystemExit) as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(1)
    if worker == 0:
        lines = [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")}
                 for line in result.history]  # fmt: skip
        np.savez(Path(folder) / "weights.npz", *model.get_weights())
        print(json.dumps({"history": lines, "resumed": result.summary["resumed_at_steps"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
