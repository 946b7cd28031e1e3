"""What `fit` costs beyond the bare step: input pipeline, metrics, moving average, log."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.photos import write_photos
from keras_vit.benchmark.machine import describe_machine

BLOCK = 6
"""Steps of `fit` between two pauses."""
BARE = "bare step"
SKIPPED = 2
"""Steps after a pause that do not count: the pipeline filled its buffers in the pause."""


def measure_fit(
    model: str = "ViT_B16",
    *,
    dtype: str = "float32",
    batch_size: int = 8,
    blocks: int = 6,
    **options: Any,
) -> dict[str, Any]:
    """Trains on a folder of photos, and pauses again and again to time the bare step.

    The run is that of `keras_vit.training.train`: JPEG photos decoded, cropped and flipped, with
    loss and accuracy, moving average of the weights, clipping and log. The bare step is
    `train_on_batch` of the same architecture and optimizer with one batch in memory, without
    metrics and moving average. Saving, which is between epochs, is not in the figures.

    Args:
        model: name of a variant.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`.
        batch_size: images a batch.
        blocks: how often `BLOCK` steps of `fit` and three bare steps take turns.
        **options: of the model's factory.

    Returns:
        Seconds of each counted step of `fit` (`fit_s`) and of each bare step (`bare_s`), `ratio`,
        the median over the blocks of fit's mean against that of the bare steps around it, the work
        and the machine.
    """
    from keras_vit.applications import factories
    from keras_vit.benchmark.subjects import set_keras_policy
    from keras_vit.data import Augmentation, load
    from keras_vit.training import Recipe, train

    steps = (blocks + 1) * BLOCK
    num_images = steps * batch_size + 2  # one epoch, so that no step has its end in it
    recipe = Recipe(
        steps=steps,
        batch_size=batch_size,
        optimizer="adamw",
        weight_decay=0.05,
        clip_norm=1.0,
        ema_momentum=0.999,
        augmentation=Augmentation(crop_min_area=0.08, horizontal_flip=True),
    )
    set_keras_policy(dtype)
    try:
        trained, bare = (getattr(factories, model)(classes=2, **options) for _ in range(2))
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            photos.mkdir()
            write_photos(photos, num_images)
            pauses = Pauses({BARE: _bare_step(bare, recipe)})
            data = load(photos, held_out_fraction=2 / num_images)
            output = Path(folder) / "run"
            train(recipe, trained, data, output_dir=output, callbacks=[pauses], verbose=0)
    finally:
        set_keras_policy("float32")
    return {
        "model": model,
        "dtype": dtype,
        "batch_size": batch_size,
        "machine": describe_machine(),
        "fit_s": [second for block in pauses.fit_s for second in block],
        "bare_s": [second for pause in pauses.bare_s for second in pause[BARE]],
        "ratio": statistics.median(pauses.summary()[1]),
    }


def _bare_step(model: Any, recipe: Any) -> Any:
    """Returns a function without arguments that runs one step on a batch in memory."""
    import tensorflow as tf

    model.compile(
        keras.optimizers.AdamW(
            recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            global_clipnorm=recipe.clip_norm,
        ),
        keras.losses.CategoricalCrossentropy(),
    )
    shape = (recipe.batch_size, *model.preprocessing.size, model.config.in_channels)
    images = tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"))
    labels = tf.one_hot(np.arange(recipe.batch_size) % 2, 2)
    return lambda: model.train_on_batch(images, labels)


class Pauses(keras.callbacks.Callback):
    """Times steps in blocks, and bare steps between the blocks.

    The first block only warms up, compilation included.

    Args:
        bare_steps_of: functions that run one bare step, by name.
        block: steps between two pauses.
        skipped: steps after a pause that do not count.
        bare_steps: timed in a pause, of each function.

    Attributes:
        fit_s: seconds of the counted steps of each block.
        bare_s: seconds of the bare steps of each pause, by name.
    """

    def __init__(
        self,
        bare_steps_of: Mapping[Any, Callable[[], Any]],
        *,
        block: int = BLOCK,
        skipped: int = SKIPPED,
        bare_steps: int = 2,
    ):
        super().__init__()
        self._bare, self._size, self._skipped = dict(bare_steps_of), block, skipped
        self._bare_steps = bare_steps
        self.fit_s: list[list[float]] = []
        self.bare_s: list[dict[Any, list[float]]] = []
        self._count, self._last, self._block = 0, 0.0, []

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        position = self._count % self._size
        if self._count >= self._size and position >= self._skipped:
            self._block.append(now - self._last)
        self._count += 1
        if self._count % self._size == 0:
            if self._block:
                self.fit_s.append(self._block)
                self._block = []
            self._pause()
        self._last = time.perf_counter()

    def _pause(self):
        seconds: dict[Any, list[float]] = {}
        for name, run in self._bare.items():
            run()  # not timed: what fit left in the caches is gone
            seconds[name] = []
            for _ in range(self._bare_steps):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
        self.bare_s.append(seconds)

    def summary(self) -> tuple[dict[Any, float], list[float]]:
        """Returns the median seconds of each bare step, and each block as a multiple of the faster.

        A block stands beside the bare steps in the pauses before and after it.
        """
        bare = {
            name: statistics.median(second for each in self.bare_s for second in each[name])
            for name in self._bare
        }
        around = zip(self.bare_s[:-1], self.bare_s[1:], strict=True)
        fastest = [
            min(statistics.mean(before[name] + after[name]) for name in self._bare)
            for before, after in around
        ]
        blocks = zip(self.fit_s, fastest, strict=True)
        return bare, [statistics.mean(fitted) / second for fitted, second in blocks]
