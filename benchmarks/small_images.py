"""Processor time of changing small images a batch at a time, beside one image at a time.

    python -m benchmarks.small_images

The two give the same bits (`tests/data/pipeline_test.py`).
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Sequence
from typing import Any
from unittest import mock

from keras_vit.data.augmentation import Augmentation
from keras_vit.tables import align

KINDS = {
    "nothing": Augmentation(),
    "flip": Augmentation(horizontal_flip=True),
    "turn, zoom and shift": Augmentation(rotation=10.0, zoom=0.1, translation=0.1),
    "colour jitter": Augmentation(color_jitter=0.3),
    "3-Augment": Augmentation(three_augment=True),
    "RandAugment, one operation": Augmentation(rand_augment_ops=1),
    "erasing of a quarter": Augmentation(random_erasing=0.25),
    "MixUp": Augmentation(mixup_alpha=0.8),
}
"""What is done to the images, by its name."""


def processor_ms(batches: Any, count: int, warm_up: int = 20) -> float:
    """Returns milliseconds of processor time, of all threads, that a batch of a stream takes."""
    iterator = iter(batches)
    for _ in range(warm_up):
        next(iterator)
    start = time.process_time()
    for _ in range(count):
        next(iterator)
    seconds = time.process_time() - start
    del iterator
    gc.collect()
    return 1000 * seconds / count


def measure_changes(
    kinds: Sequence[str] = tuple(KINDS), *, size: int = 32, batch_size: int = 64, count: int = 40
) -> dict[str, tuple[float, float]]:
    """Makes batches of cuts of photographs, decoded once and kept, both ways in turn.

    Args:
        kinds: of `KINDS`.
        size: side of an image in pixels.
        batch_size: images a batch.
        count: batches that are timed.

    Returns:
        By kind milliseconds of processor time a batch: one image at a time, a batch at a time.
    """
    from keras_vit.data import load, together, training_batches
    from keras_vit.data.photo_crops import write_crops
    from keras_vit.images.spec import Preprocessing

    def ways(kind: str) -> tuple[float, ...]:
        times = []
        for most in (0, 2**40):
            limits = {"_MOST_BYTES": most, "_MOST_BYTES_MOVED": most}
            with mock.patch.multiple(together, **limits):
                batches = training_batches(
                    data.split("train"), Preprocessing(size=size), batch_size=batch_size, seed=0,
                    num_classes=data.num_classes, augmentation=KINDS[kind],
                )  # fmt: skip
            times.append(processor_ms(batches, count))
        return tuple(times)

    with tempfile.TemporaryDirectory() as folder:
        write_crops(folder, 8)
        data = load(folder)
        return {kind: ways(kind) for kind in kinds}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="side of an image in pixels")
    parser.add_argument("--batch_size", type=int, default=64)
    given = parser.parse_args()
    rows = [("processor time a batch, ms", "one by one", "together")]
    for kind, times in measure_changes(size=given.size, batch_size=given.batch_size).items():
        rows.append((kind, *(f"{ms:.2f}" for ms in times)))
    print("\n".join(align(rows)))


if __name__ == "__main__":
    main()
