"""Augmentation by any layer of `keras.layers` or `keras_cv.layers`, with random numbers of ours.

What such a layer draws comes from variables that count how often they were asked, so that a batch
would depend on what was asked before, on threads, and on where a run was resumed. Here everything
is drawn from one generator, which begins anew at each batch from the seed and its place. The layers
are given whole batches, those of all workers, since some of them mix images.
"""

import ast
import contextlib
import importlib
import inspect
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keras_vit.checks import check_name

_LIBRARIES = ("keras", "keras_cv")
_OTHERWISE = {"AugMix": "keras_cv"}  # Keras's own draws its operations once, for all batches
_BASES = {
    "BaseImagePreprocessingLayer",
    "BaseImageAugmentationLayer",
    "VectorizedBaseImageAugmentationLayer",
}
_REFUSED = {"RandomJpegQuality": "which takes values of 0 to 1, not of 0 to 255"}


def read_layers(text: str) -> list[keras.layers.Layer]:
    """Makes the layers that a text names.

    Args:
        text: names with their arguments, commas between them, such as
            `"GridMask, keras_cv.AugMix(severity=0.2)"`. Of a name that both libraries have,
            Keras's own is taken, `AugMix` excepted. `value_range` need not be given.

    Raises:
        ValueError: another text, an unknown name (with the nearest ones), or arguments that the
            layer refuses.
    """
    try:
        items = [_read_item(item) for item in ast.parse(f"[{text}]", mode="eval").body.elts]
    except (SyntaxError, AttributeError, ValueError) as error:
        raise ValueError(
            "Expected layers such as 'GridMask, keras_cv.AugMix(severity=0.2)'. "
            f"Received: {text!r}."
        ) from error
    return [_make(*item) for item in items]


def _read_item(item: ast.expr) -> tuple[str, str, dict[str, Any]]:
    """Returns library (or nothing), name and arguments."""
    arguments = {}
    if isinstance(item, ast.Call):
        if item.args:
            raise SyntaxError("arguments need their names")
        arguments = {given.arg: ast.literal_eval(given.value) for given in item.keywords}
        item = item.func
    library, _, name = ast.unparse(item).replace("layers.", "").rpartition(".")
    return library, name, arguments


def _make(library: str, name: str, arguments: dict[str, Any]) -> keras.layers.Layer:
    first = library or _OTHERWISE.get(name, _LIBRARIES[0])
    known = _known(first)
    if name not in known and not library:
        known = {**_known("keras_cv"), **known}
    check_name(f"an augmentation of {library or 'keras or keras_cv'}", name, known)
    takes = inspect.signature(known[name]).parameters
    if "value_range" in takes:
        arguments = {"value_range": (0, 255), **arguments}
    try:
        return known[name](**arguments, dtype="float32")
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected arguments that {name!r} takes. Received: {error}") from error


def _known(library: str) -> dict[str, type]:
    """Returns the augmentations of a library by name."""
    if library not in _LIBRARIES:
        raise ValueError(f"Expected one of {_LIBRARIES}. Received: {library!r}.")
    layers = importlib.import_module(library).layers
    return {
        name: value
        for name, value in vars(layers).items()
        if inspect.isclass(value) and name not in _BASES and is_augmentation(value)
    }


def is_augmentation(kind: type) -> bool:
    """Whether a class is made to change images and their labels."""
    return any(base.__name__ in _BASES for base in kind.__mro__)


class LayersOnBatches:
    """Changes batches by layers; what they draw depends on the seed and the place alone.

    Args:
        layers: in their order.
        seed: of the run, 0 to 2**31 - 1.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], seed: int):
        self._layers, self._seed = list(layers), seed
        for layer in self._layers:
            if why := _REFUSED.get(type(layer).__name__):
                raise ValueError(
                    f"Expected layers for images. Received: {type(layer).__name__}, {why}."
                )
        # In a thread of its own no strategy makes a variable for each replica of it.
        with ThreadPoolExecutor(1) as thread:
            self._generator = thread.submit(tf.random.Generator.from_seed, 0).result()

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, place: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Changes a batch.

        Args:
            images: float32 `(batch, height, width, channels)`, 0 to 255.
            labels: float32 `(batch, classes)`.
            place: () int64, of the batch in the stream.

        Raises:
            ValueError: a layer that does not take them, or changes their size.
        """
        words = [tf.constant(self._seed, tf.int64), place]
        self._generator.reset(tf.random.stateless_uniform([3], words, None, None, tf.int64))
        shape = images.shape
        with _drawn_from(self._generator, self._layers, self._seed):
            for layer in self._layers:
                images, labels = _apply(layer, images, labels)
                if not images.shape.is_compatible_with(shape):
                    raise ValueError(
                        f"Expected layers that keep the size {tuple(shape[1:])} of the images. "
                        f"Received: {type(layer).__name__}, which made {tuple(images.shape[1:])}."
                    )
        images = tf.ensure_shape(tf.clip_by_value(tf.cast(images, tf.float32), 0.0, 255.0), shape)
        return images, tf.ensure_shape(tf.cast(labels, tf.float32), labels.shape)


def _apply(layer: Any, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    takes = inspect.signature(getattr(layer, "call", layer)).parameters
    training = {"training": True} if "training" in takes else {}
    changed = None
    if is_augmentation(type(layer)):
        try:
            changed = layer({"images": images, "labels": labels}, **training)
        except (NotImplementedError, AttributeError):  # it takes images alone
            changed = None
    if changed is None:
        changed = {"images": layer(images, **training), "labels": labels}
    return changed["images"], changed["labels"]


@contextlib.contextmanager
def _drawn_from(
    generator: tf.random.Generator, layers: Sequence[keras.layers.Layer], seed: int
) -> Iterator[None]:
    """While a function is traced, lets layers draw from a generator and from nothing else."""
    before, state = [], random.getstate()
    random.seed(seed)  # some choose in Python, once and for all
    for inner in (inner for layer in layers for inner in _with_inner(layer)):
        for name, ours in (("_random_generator", generator), ("generator", _Seeds(generator))):
            if name in vars(inner):
                before.append((inner, name, vars(inner)[name]))
                object.__setattr__(inner, name, ours)
    try:
        with mock.patch.multiple(tf.random, **_functions(generator)):
            yield
    finally:
        random.setstate(state)
        for inner, name, theirs in before:
            object.__setattr__(inner, name, theirs)


def _with_inner(layer: Any) -> list[Any]:
    return layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else []


class _Seeds(keras.random.SeedGenerator):
    """Gives Keras's functions seeds that a generator draws."""

    def __init__(self, generator: tf.random.Generator):  # with no state of its own
        self._drawn = generator

    def next(self, ordered: bool = True) -> tf.Tensor:
        return self._drawn.make_seeds(1)[:, 0]


def _functions(generator: tf.random.Generator) -> dict[str, Any]:
    """Returns what stands for the functions of `tf.random` that layers call."""

    def uniform(shape, minval=0, maxval=None, dtype=tf.float32, seed=None, name=None):
        return generator.uniform(shape, minval, 1 if maxval is None else maxval, dtype)

    def normal(shape, mean=0.0, stddev=1.0, dtype=tf.float32, seed=None, name=None):
        return generator.normal(shape, mean, stddev, dtype)

    def gamma(shape, alpha, beta=None, dtype=tf.float32, seed=None, name=None):
        alpha = tf.convert_to_tensor(alpha, dtype)
        shape = tf.concat([shape, tf.shape(alpha)], 0)
        return tf.random.stateless_gamma(shape, generator.make_seeds(1)[:, 0], alpha, beta, dtype)

    def shuffle(value, seed=None, name=None):
        return tf.gather(value, tf.argsort(generator.uniform(tf.shape(value)[:1])))

    return {"uniform": uniform, "normal": normal, "gamma": gamma, "shuffle": shuffle}
