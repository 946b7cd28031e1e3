"""What a run writes for TensorBoard: scalars over steps, and images as the model gets them."""

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vit.files import replacing
from keras_vit.images.spec import Preprocessing
from keras_vit.training.callbacks import HELD_OUT, StepCallback
from keras_vit.training.plan import Plan

_SECONDS_BETWEEN_POINTS = 1.0
_MAX_IMAGES = 36


class TensorBoardLog(StepCallback):
    """Writes scalars, their place being the optimizer step.

    In the run `train`: `learning_rate` and the figures of the objective (means over the epoch so
    far), at most once a second, and at the end of an epoch `images_per_second`. In the run
    `validation`: the figures of the held-out split at the end of an epoch.

    Args:
        folder: a resumed run goes on in the folder it had.
        plan: of the run.
        learning_rate: the rate of a step, counted from 0.
        preprocessing: of the model; its normalising is undone in pictures.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        plan: Plan,
        learning_rate: Callable[[int], Any],
        preprocessing: Preprocessing,
    ):
        super().__init__(plan)
        self.folder = Path(folder)
        self.preprocessing = preprocessing
        self.learning_rate = learning_rate
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._written_at = -math.inf

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        now = time.perf_counter()
        if now - self._written_at >= _SECONDS_BETWEEN_POINTS:
            self._written_at = now
            rate = float(self.learning_rate(self.step - 1))
            self._write("train", {**(logs or {}), "learning_rate": rate})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        held_out = {name.removeprefix(HELD_OUT): value for name, value in logs.items()
                    if name.startswith(HELD_OUT)}  # fmt: skip
        trained = {name: value for name, value in logs.items() if not name.startswith(HELD_OUT)}
        if self.step:  # the rate that the last step had, as within the epoch
            trained["learning_rate"] = float(self.learning_rate(self.step - 1))
        self._write("train", trained)
        if held_out:
            self._write("validation", held_out)
        for writer in self._writers.values():
            writer.flush()

    def write_pictures(self, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes images, float `(batch, height, width, channels)`, as one picture a name."""
        with self._writer("train").as_default(step=self.step):
            for name, images in pictures.items():
                picture = image_grid(images[:_MAX_IMAGES], self.preprocessing)
                tf.summary.image(name, picture[None])

    def close(self) -> None:
        """Closes the files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _write(self, run: str, values: dict[str, Any]) -> None:
        with self._writer(run).as_default(step=self.step):
            for name, value in values.items():
                tf.summary.scalar(name, float(value))

    def _writer(self, run: str) -> tf.summary.SummaryWriter:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self.folder / run))
        return self._writers[run]


def save_pictures(
    pictures: Mapping[str, np.ndarray], preprocessing: Preprocessing, path: Path
) -> None:
    """Writes pictures as the model gets them as one PNG: a row a name, an image a column."""
    from PIL import Image

    rows = [image_grid(images, preprocessing, columns=len(images)) for images in pictures.values()]
    white = np.full((1, *rows[0].shape[1:]), 255, np.uint8)
    picture = np.concatenate([part for row in rows for part in (row, white)][:-1])
    with replacing(path) as temporary:
        Image.fromarray(picture.squeeze()).save(temporary, "PNG")


def image_grid(
    images: np.ndarray, preprocessing: Preprocessing, columns: int | None = None
) -> np.ndarray:
    """Lays images out side by side, as they were before they were normalised.

    Args:
        images: float `(count, height, width, channels)`, at least one.
        preprocessing: gives mean and std.
        columns: images in a row; None for as many as there are rows.

    Returns:
        uint8 `(rows * (height + 1) - 1, columns * (width + 1) - 1, channels)`, one white pixel
        between two images, white where there are none left.
    """
    images = np.clip(images * preprocessing.std + preprocessing.mean, 0, 1)
    images = np.rint(255 * images).astype(np.uint8)
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + 1), columns * (width + 1), channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        grid[top : top + height, left : left + width] = image
    return grid[:-1, :-1]
