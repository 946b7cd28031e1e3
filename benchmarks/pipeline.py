"""Speed of the training pipeline alone, on real photographs, beside that of Keras."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.photos import write_photos
from keras_vit.benchmark.machine import describe_machine
from keras_vit.tables import align

if TYPE_CHECKING:
    import tensorflow as tf

CROP_AREA = (0.08, 1.0)
OURS = "keras_vit"

_LOADED_SIZE = 256 / 224  # what Keras resizes to before a crop, as ImageNet's 256 for 224


def ours(folder: str, batch_size: int, image_size: int) -> tf.data.Dataset:
    """Makes our training batches of a folder: random crops and flips.

    Args:
        folder: a subfolder a class.
        batch_size: images a batch.
        image_size: side of a square image in pixels.
    """
    from keras_vit.data import Augmentation, load, training_batches
    from keras_vit.images.spec import Preprocessing

    return training_batches(
        load(folder, held_out_fraction=0.01).train,
        Preprocessing(size=image_size),
        batch_size=batch_size,
        num_classes=2,
        seed=0,
        augmentation=Augmentation(crop_min_area=CROP_AREA[0], horizontal_flip=True),
    )


def keras_cv_crop(folder: str, batch_size: int, image_size: int) -> tf.data.Dataset:
    """Makes such batches by Keras, with the random resized crop of keras_cv.

    Args:
        folder: a subfolder a class.
        batch_size: images a batch.
        image_size: side of a square image in pixels.
    """
    import keras_cv

    crop = keras_cv.layers.RandomCropAndResize(
        (image_size, image_size), crop_area_factor=CROP_AREA, aspect_ratio_factor=(3 / 4, 4 / 3)
    )
    return _keras_batches(folder, batch_size, image_size, crop)


def keras_crop(folder: str, batch_size: int, image_size: int) -> tf.data.Dataset:
    """Makes batches by Keras alone, whose random crop is of one size: less work.

    Args:
        folder: a subfolder a class.
        batch_size: images a batch.
        image_size: side of a square image in pixels.
    """
    import keras

    crop = keras.layers.RandomCrop(image_size, image_size)
    return _keras_batches(folder, batch_size, image_size, crop)


def _keras_batches(folder: str, batch_size: int, image_size: int, crop: Any) -> tf.data.Dataset:
    import keras
    import tensorflow as tf

    loaded = round(image_size * _LOADED_SIZE)
    batches = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        batch_size=batch_size,
        image_size=(loaded, loaded),
        seed=0,
        verbose=False,
    )
    layers = [crop, keras.layers.RandomFlip("horizontal"), keras.layers.Rescaling(1 / 127.5, -1)]

    def change(images, labels):
        for layer in layers:
            images = layer(images, training=True)
        return images, labels

    batches = batches.repeat().map(change, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


PIPELINES: dict[str, Callable[[str, int, int], Any]] = {
    OURS: ours,
    "keras + keras_cv.RandomCropAndResize": keras_cv_crop,
    "keras + keras.layers.RandomCrop": keras_crop,
}
"""What is measured: ours first, then Keras with the same augmentation and with a simpler one."""


def measure_pipeline(
    *,
    batch_size: int = 32,
    image_size: int = 224,
    num_images: int = 256,
    batches: int = 24,
    repeats: int = 5,
) -> dict[str, Any]:
    """Measures how many images a second each pipeline makes, in turn, nothing else at work.

    Args:
        batch_size: images a batch.
        image_size: side of a square image in pixels.
        num_images: JPEG files that are written to a temporary folder.
        batches: batches a timed run, after five that are not timed.
        repeats: timed runs of each pipeline, after one that warms the disk cache.

    Returns:
        The conditions; for each of `PIPELINES` images a second (median, lowest and highest) and
        milliseconds of processor time an image; and, for each but ours, how many times as fast
        ours is: the median, lowest and highest of the runs side by side.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_photos(folder, num_images)
        sizes = [path.stat().st_size for path in Path(folder).glob("*/*.jpg")]
        made = {name: make(folder, batch_size, image_size) for name, make in PIPELINES.items()}
        runs: dict[str, list] = {name: [] for name in made}
        for repeat in range(repeats + 1):
            for name, dataset in made.items():
                run = time_batches(dataset, batches, batch_size)
                if repeat:
                    runs[name].append(run)
    speeds = {name: [run[0] for run in of_one] for name, of_one in runs.items()}
    return {
        "batch_size": batch_size,
        "image_size": image_size,
        "num_images": num_images,
        "mean_file_kb": statistics.mean(sizes) / 1000,
        "machine": describe_machine(),
        "pipelines": {
            name: {
                "images_per_second": _spread(speeds[name]),
                "cpu_ms_per_image": statistics.median(run[1] for run in runs[name]),
            }
            for name in made
        },
        "times_as_fast": {
            name: _spread([a / b for a, b in zip(speeds[OURS], speeds[name], strict=True)])
            for name in made
            if name != OURS
        },
    }


def time_batches(dataset: tf.data.Dataset, batches: int, batch_size: int) -> tuple[float, float]:
    """Returns images a second and milliseconds of processor time an image."""
    iterator = iter(dataset)  # alone: another one would go on filling its buffers
    for _ in range(5):
        next(iterator)
    start, start_cpu = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    del iterator
    gc.collect()
    images = batches * batch_size
    return images / seconds, 1000 * cpu_seconds / images


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def format_pipeline(result: dict[str, Any]) -> str:
    """Formats what `measure_pipeline` returned.

    Args:
        result: its dictionary.

    Returns:
        A table of several lines.
    """
    rows = [("", "img/s", "(min-max)", "CPU ms/img", "ours is so many times as fast")]
    for name, figures in result["pipelines"].items():
        speed, ratio = figures["images_per_second"], result["times_as_fast"].get(name)
        rows.append(
            (
                name,
                f"{speed['median']:.0f}",
                f"{speed['lowest']:.0f}-{speed['highest']:.0f}",
                f"{figures['cpu_ms_per_image']:.2f}",
                f"{ratio['median']:.2f} ({ratio['lowest']:.2f}-{ratio['highest']:.2f})"
                if ratio
                else "-",
            )
        )
    title = (
        f"Training batches of {result['batch_size']} from {result['num_images']} JPEG photos, "
        f"{result['mean_file_kb']:.0f} kB on average, to {result['image_size']} px, "
        f"{result['machine']['cores']} cores"
    )
    return "\n".join([title, *align(rows)])
