"""From a split to batches: read, decode, resize, augment, normalise, batch.

Training and evaluation share decoding and normalising; training adds the shuffle and the random
changes. Every random number comes from the seed and a place in the stream, so the same seed gives
the same batches on any number of threads.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_vit.checks import check_int
from keras_vit.data import mixing
from keras_vit.data.augment import (
    Seeds,
    change_appearance,
    random_flip,
    random_window,
    transform,
)
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.dataset import Split
from keras_vit.data.stream import training_stream
from keras_vit.data.targets import OneHot, Targets
from keras_vit.data.threads import AHEAD, CORES, untuned
from keras_vit.data.together import change_together, go_together, normalize_rows
from keras_vit.images.graph_decoding import decode_image, decode_window
from keras_vit.images.preprocessing import preprocess_input
from keras_vit.images.spec import Preprocessing

# Nothing here needs AutoGraph, which would read every function again: half of the time to start.
_as_written = tf.autograph.experimental.do_not_convert

# Of decoded images that are kept from one epoch to the next.
_KEPT_BYTES = 2**26


def evaluation_batches(
    split: Split,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    num_classes: int | None = None,
    targets: Targets | None = None,
    num_shards: int = 1,
    shard_index: int = 0,
    keep: bool = False,
) -> tf.data.Dataset:
    """Makes one pass over a split, in its fixed order, as a model sees it.

    Args:
        split: what to read.
        preprocessing: of the model.
        batch_size: images a batch, at least 1; the last batch may be smaller.
        num_classes: width of one-hot labels.
        targets: in its place, what makes an example of an image, its label and a seed that is the
            same in every pass.
        num_shards: number of workers that share the pass.
        shard_index: which of them this is; it sees the images `shard_index`, `shard_index +
            num_shards` and so on, in batches of `batch_size` of its own.
        keep: whether the examples of a small split are kept for further passes; each pass must be
            read to its end.

    Returns:
        Batches of images, float32 `(batch, height, width, channels)`, and one-hot labels, float32
        `(batch, num_classes)`, or of what `targets` makes.

    Raises:
        ValueError: impossible numbers, or a model for other images than grey or RGB ones.
    """
    _check_numbers(batch_size, num_shards, shard_index)
    _check_channels(preprocessing)
    channels, targets = len(preprocessing.mean), _targets(num_classes, targets)

    @_as_written
    def prepare(place, reference):
        example = split.read(reference)
        image = preprocess_input(decode_image(example["image"], channels), preprocessing)
        return targets(image, example["label"], Seeds(0, place).of("targets"))

    references = split.references().enumerate()
    if num_shards > 1:
        references = references.shard(num_shards, shard_index)
    examples = references.map(prepare, num_parallel_calls=CORES)
    if keep and _is_small(split, preprocessing):
        examples = examples.cache()
    return untuned(examples.batch(batch_size).prefetch(AHEAD))


def training_batches(
    split: Split,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int,
    num_classes: int | None = None,
    targets: Targets | None = None,
    augmentation: Augmentation | None = None,
    start_step: int = 0,
    num_shards: int = 1,
    shard_index: int = 0,
    one_pass: bool = False,
) -> tf.data.Dataset:
    """Makes an endless stream of shuffled, augmented batches.

    Every pass over the images has an order of its own; a batch may hold the end of one pass and the
    start of the next, so that every image is seen equally often and every batch is full.

    The numbers of a batch depend on the split, the arguments above `start_step` and the step, and
    on nothing else: `n` workers together get bit for bit what one would get, and a stream that
    starts at step `s` goes on as one that came there from 0. A worker does not decode the images
    of another, nor any before `start_step`; whole passes are skipped unread. One that works alone
    decodes images once that are few, small and not cut at random, and keeps them. Where layers of
    `keras` or `keras_cv` change the batches, each worker reads all rows, one batch after the other.

    Args:
        split: what to read.
        preprocessing: of the model.
        batch_size: images a step, those of all workers together; at least 1.
        seed: of order and augmentation, 0 to 2**31 - 1.
        num_classes: width of one-hot labels.
        targets: in its place, what makes an example of an image, its label and a seed.
        augmentation: random changes; None for none.
        start_step: how many steps are behind.
        num_shards: number of workers; divides `batch_size`.
        shard_index: which of them this is, from 0. It gets the rows from
            `shard_index * batch_size / num_shards` on of every batch.
        one_pass: whether the stream ends with the full batches of a pass; each time it is iterated,
            as `fit` does in each epoch, it is another pass.

    Returns:
        Batches of images, float32 `(batch_size / num_shards, height, width, channels)`, and
        labels, float32 `(batch_size / num_shards, num_classes)`: one-hot, or soft where images are
        mixed; or of what `targets` makes.

    Raises:
        ValueError: impossible numbers, a batch that the workers cannot share evenly, or a model for
            other images than grey or RGB ones.
    """
    _check_numbers(batch_size, num_shards, shard_index, start_step)
    if batch_size % num_shards:
        raise ValueError(
            "Expected `batch_size`, the images of all workers together, to be a multiple of "
            f"`num_shards`. Received: batch_size={batch_size}, num_shards={num_shards}."
        )
    _check_channels(preprocessing)
    augmentation = augmentation or Augmentation()
    rows = batch_size // num_shards
    if augmentation.mixes and rows % 2:
        raise ValueError(
            "Expected an even number of images a worker, as MixUp and CutMix mix pairs. Received: "
            f"{rows} (batch_size={batch_size}, num_shards={num_shards})."
        )
    targets = _targets(num_classes, targets)
    layers = _layers(split, augmentation)
    uncut = augmentation.crop_min_area == 1  # the same in each epoch until they are changed
    kept = num_shards == 1 and uncut and _is_small(split, preprocessing)
    if kept:
        split = _decoded(split, preprocessing)
    read = _read(split, preprocessing, seed, augmentation)
    change = _change(read, seed, augmentation)
    finish = _finish(preprocessing, targets, seed, augmentation)
    stream = functools.partial(
        training_stream,
        split,
        seed,
        batch_size=batch_size,
        repeats=augmentation.repeats,
        start_step=start_step,
        one_pass=one_pass,
    )
    mix = functools.partial(
        mixing.mix_pairs,
        mixup_alpha=augmentation.mixup_alpha,
        cutmix_alpha=augmentation.cutmix_alpha,
        probability=augmentation.mix_probability,
    )
    if layers:
        examples = stream().map(change, num_parallel_calls=CORES)
        on_batches = _on_batches(layers, seed, targets, shard_index * rows, rows)
        examples = examples.batch(batch_size, drop_remainder=True).map(on_batches).unbatch()
        examples = examples.map(finish, num_parallel_calls=CORES)
        batches = examples.batch(rows, drop_remainder=True)
    elif go_together(preprocessing, targets, augmentation):
        examples = stream(num_shards=num_shards, shard_index=shard_index)
        if not kept:
            examples = examples.map(read, num_parallel_calls=CORES)
        changed = _as_written(change_together(preprocessing, targets, seed, augmentation))
        batches = examples.batch(rows, drop_remainder=True)
        batches = batches.map(changed, num_parallel_calls=CORES)
    else:
        examples = stream(num_shards=num_shards, shard_index=shard_index)
        made = _as_written(lambda *example: finish(*change(*example)))
        examples = examples.map(made, num_parallel_calls=CORES)
        batches = examples.batch(rows, drop_remainder=True)
    if augmentation.mixes:
        batches = batches.map(_as_written(mix), num_parallel_calls=CORES)
    if one_pass:
        steps = split.num_examples * augmentation.repeats // batch_size
        batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    return untuned(batches.prefetch(AHEAD))


def _layers(split: Split, augmentation: Augmentation) -> list[keras.layers.Layer]:
    """Returns the layers of `keras` and `keras_cv` that a split and an augmentation ask for."""
    if not augmentation.layers:
        return list(split.augment)
    from keras_vit.data.augmentation_layers import read_layers

    return [*split.augment, *read_layers(augmentation.layers)]


def _on_batches(
    layers: list[keras.layers.Layer], seed: int, targets: Targets, first: int, rows: int
) -> Callable[..., tuple]:
    """Returns what changes batches of all workers and keeps the rows of this one."""
    from keras_vit.data.augmentation_layers import LayersOnBatches

    changed = LayersOnBatches(layers, seed)
    num_classes = getattr(targets, "num_classes", None)

    def change(places, images, labels):
        one_hot = labels if labels.shape.rank > 1 else tf.one_hot(labels, num_classes or 1)
        images, mixed = changed(images, one_hot, places[0])
        labels = labels if num_classes is None else mixed
        return tuple(values[first : first + rows] for values in (places, images, labels))

    return change


def _is_small(split: Split, preprocessing: Preprocessing) -> bool:
    pixels = math.prod(preprocessing.size) * len(preprocessing.mean)
    return 4 * pixels * split.num_examples <= _KEPT_BYTES


def _resized(data: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Decodes and resizes an image; float32 `(*size, channels)`, values 0 to 255."""
    channels = len(preprocessing.mean)
    resize_alone = preprocessing.replace(mean=(0.0,) * channels, std=(1 / 255,) * channels)
    return preprocess_input(decode_image(data, channels), resize_alone)


def _decoded(split: Split, preprocessing: Preprocessing) -> Split:
    """Returns a split whose references are decoded and resized once, and then kept."""

    @_as_written
    def decode(reference):
        example = split.read(reference)
        image = _resized(example["image"], preprocessing)
        return {"image": image, "label": example["label"]}

    kept = split.references().map(decode, num_parallel_calls=CORES).cache()
    return dataclasses.replace(split, references=lambda: kept, images_are_paths=False)


def _read(
    split: Split, preprocessing: Preprocessing, seed: int, augmentation: Augmentation
) -> Callable[..., tuple]:
    """Returns what turns a place and a reference into the place, and image and label.

    The image is `(*size, channels)`, 0 to 255.
    """
    channels = len(preprocessing.mean)

    def pixels(data, place):
        if data.dtype != tf.string:  # kept
            return data
        if augmentation.crop_min_area == 1:
            return _resized(data, preprocessing)
        crop = Seeds(seed, place).crop
        window = decode_window(
            data,
            lambda height, width: random_window(height, width, augmentation, crop),
            channels,
            min_size=preprocessing.size,
        )
        return resize_crop(window, preprocessing)

    @_as_written
    def read(place, reference):
        example = split.read(reference)
        image = pixels(example["image"], place)
        image = tf.ensure_shape(image, [*preprocessing.size, channels])
        return place, {"image": image, "label": example["label"]}

    return read


def _change(
    read: Callable[..., tuple], seed: int, augmentation: Augmentation
) -> Callable[..., tuple]:
    """Returns what does what `_read` returned, changes the image, and gives place, image, label."""

    @_as_written
    def change(place, reference):
        place, example = read(place, reference)
        image, seeds = example["image"], Seeds(seed, place)
        if augmentation.horizontal_flip:
            image = random_flip(image, seeds.of("flip"))
        image = transform(image[tf.newaxis], augmentation, seeds.moves[tf.newaxis])[0]
        return place, change_appearance(image, augmentation, seeds), example["label"]

    return change


def _finish(
    preprocessing: Preprocessing, targets: Targets, seed: int, augmentation: Augmentation
) -> Callable[..., tuple]:
    """Returns what makes an example of what `_change` returned and, to mix, its draws."""

    @_as_written
    def finish(place, image, label):
        seeds = Seeds(seed, place)
        image = normalize_rows(image, preprocessing)
        if augmentation.random_erasing:
            image = mixing.random_erasing(image, augmentation.random_erasing, seeds.of("erasing"))
        made = targets(image, label, seeds.of("targets"))
        if not augmentation.mixes:
            return made
        alphas = augmentation.mixup_alpha, augmentation.cutmix_alpha
        image, label = made
        return image, label, mixing.mix_draws(*alphas, seeds.of("mixing"))

    return finish


def resize_crop(crop: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Resizes a random crop to the size of a model, whatever its aspect ratio.

    What is made smaller becomes the mean of the pixels that fall on one, which keeps fine patterns
    from turning into coarse ones as the antialias of `preprocess_input` does, at a quarter of the
    time; on photos the two differ by one or two levels of 255. A crop is uint8 `(height, width,
    channels)`, what is returned float32 `(*size, channels)`, values 0 to 255.
    """
    size = preprocessing.size

    def smaller():
        return tf.raw_ops.ResizeArea(images=crop[tf.newaxis], size=size)[0]

    def larger():
        if preprocessing.resampling == "bilinear":
            return tf.image.resize(crop, size)
        channels = len(preprocessing.mean)
        return preprocess_input(
            crop,
            preprocessing.replace(
                resize="squash", mean=(0.0,) * channels, std=(1 / 255,) * channels
            ),
        )

    shrinks = tf.reduce_any(tf.shape(crop)[:2] > tf.constant(size))
    return tf.cond(shrinks, smaller, larger)


def _targets(num_classes: int | None, targets: Targets | None) -> Targets:
    if (num_classes is None) == (targets is None):
        raise ValueError(
            "Expected one of `num_classes` and `targets`. "
            f"Received: num_classes={num_classes!r}, targets={targets!r}."
        )
    return OneHot(num_classes) if targets is None else targets


def _check_numbers(batch_size: int, num_shards: int, shard_index: int, start_step: int = 0) -> None:
    check_int("batch_size", batch_size, 1)
    if not 0 <= shard_index < num_shards:
        raise ValueError(
            "Expected `shard_index` to lie in [0, num_shards). "
            f"Received: shard_index={shard_index!r}, num_shards={num_shards!r}."
        )
    check_int("start_step", start_step, 0)


def _check_channels(preprocessing: Preprocessing) -> None:
    if len(preprocessing.mean) not in (1, 3):
        raise ValueError(
            "Expected a model for grey images (1 channel) or RGB (3). "
            f"Received: {len(preprocessing.mean)} channels."
        )
