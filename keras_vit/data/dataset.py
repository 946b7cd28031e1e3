"""What every source of images becomes: named splits of encoded images with labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keras_vit.checks import check_choice

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_vit.data.augmentation import Augmentation
    from keras_vit.images.spec import Preprocessing

SPLITS = ("train", "validation", "test")
TASKS = ("classes", "labels", "binary", "regression")


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set: its images as stored, undecoded, in a fixed order.

    Attributes:
        name: how the source calls it, such as `"train"` or `"train[:80%]"`.
        num_examples: number of images.
        references: makes a `tf.data.Dataset` of `{"image": () string, "label": () int64}` in a
            fixed order; the image is its encoded bytes, or the path of its file. The label is
            float32 `(num_classes,)` where an image has not one class but labels or values.
        images_are_paths: which of the two it is.
        shuffle_buffer: number of references that may be held in memory to shuffle them.
        augment: layers of `keras.layers` or `keras_cv.layers` that change its training batches.
    """

    name: str
    num_examples: int
    references: Callable[[], tf.data.Dataset]
    images_are_paths: bool = False
    shuffle_buffer: int = 10_000
    augment: tuple[keras.layers.Layer, ...] = ()

    def read(self, reference: dict) -> dict:
        """Turns a reference into `{"image": encoded bytes, "label": () int64}`."""
        if not self.images_are_paths:
            return reference
        import tensorflow as tf

        return {**reference, "image": tf.io.read_file(reference["image"])}

    def labels(self) -> np.ndarray:
        """Reads all labels, and decodes no image; `(examples,)` or `(examples, num_classes)`."""
        import numpy as np

        labels = self.references().map(lambda reference: reference["label"])
        return np.concatenate(list(labels.batch(4096).as_numpy_iterator()))


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """A data set of images and what is known of each, or nothing; made by `keras_vit.data.load`.

    Attributes:
        name: what was asked for.
        class_names: the name of each class, label or value, counted from 0; empty without labels.
        train: what a model learns from, or None.
        validation: held out to watch the training and to choose between runs, or None.
        test: held out for the final figure, or None.
        task: what an image has: one class of several (`"classes"`), any of several labels
            (`"labels"`), one label or not (`"binary"`), or values (`"regression"`).
    """

    name: str
    class_names: tuple[str, ...]
    train: Split | None = None
    validation: Split | None = None
    test: Split | None = None
    task: str = "classes"

    def __post_init__(self):
        check_choice("task", self.task, TASKS)
        if len(self.class_names) == 1 and self.task in ("classes", "labels"):
            raise ValueError(
                f"Expected at least two classes in {self.name!r}. "
                f"Received: {len(self.class_names)}: {list(self.class_names)}."
            )
        if not self.splits:
            raise ValueError(f"Expected at least one split in {self.name!r}. Received none.")

    @property
    def num_classes(self) -> int:
        """Number of classes, labels or values: the width of a model's output."""
        return len(self.class_names)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits there are, by role: any of `"train"`, `"validation"`, `"test"`."""
        roles = {role: getattr(self, role) for role in SPLITS}
        return {role: split for role, split in roles.items() if split is not None}

    def split(self, role: str) -> Split:
        """Returns the split of a role.

        Args:
            role: `"train"`, `"validation"` or `"test"`.

        Raises:
            ValueError: the data set has no such split.
        """
        if role not in self.splits:
            raise ValueError(
                f"Expected one of the splits of {self.name!r}: {list(self.splits)}. "
                f"Received: {role!r}."
            )
        return self.splits[role]

    @property
    def watched(self) -> str | None:
        """Role of the split that training reports on: validation, else test, else None.

        Where it is the test split, nothing may be chosen by what it says.
        """
        return next((role for role in ("validation", "test") if role in self.splits), None)

    def augmented(self, augment: Sequence[str | keras.layers.Layer]) -> ImageDataset:
        """Returns this data set with layers that change its training batches.

        Args:
            augment: layers of `keras.layers` or `keras_cv.layers` in their order, or texts that
                name them, such as `"GridMask"` and `"AugMix(severity=0.2)"`.

        Raises:
            ValueError: no such layers, or no training split.
        """
        if isinstance(augment, str) or not isinstance(augment, Sequence):
            raise ValueError(f"Expected `augment` to be a list of layers. Received: {augment!r}.")
        if not augment:
            return self
        from keras_vit.data.augmentation_layers import read_layers

        layers = []
        for layer in augment:
            layers += read_layers(layer) if isinstance(layer, str) else [layer]
        train = dataclasses.replace(self.split("train"), augment=tuple(layers))
        return dataclasses.replace(self, train=train)

    def batches(
        self,
        model: keras.Model | Preprocessing,
        batch_size: int = 32,
        split: str = "train",
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> tf.data.Dataset:
        """Makes batches for `fit`, `evaluate` and `predict`, prepared as a model wants them.

        Of the training split each epoch has an order and random changes of its own, in full
        batches; what fills none waits for another epoch. The other splits come whole, in their
        order.

        Args:
            model: a model, or its `Preprocessing`.
            batch_size: images a batch, at least 1; all, where there are fewer to train on.
            split: `"train"`, `"validation"` or `"test"`.
            augmentation: random changes to training images; None for none but those of `augment`.
            seed: of order and changes, 0 to 2**31 - 1.

        Returns:
            Batches of images, float32 `(batch, height, width, channels)`, and labels, float32
            `(batch, num_classes)`: one-hot for `"categorical_crossentropy"`, 0 and 1 for
            `"binary_crossentropy"`, or values; a pass.

        Raises:
            ValueError: no such split, no labels, or changes to what is not trained on.
        """
        from keras_vit.data.pipeline import evaluation_batches, training_batches
        from keras_vit.images.preprocessing import get_preprocessing

        part, preprocessing = self.split(split), get_preprocessing(model)
        if not self.class_names:
            raise ValueError(f"Expected a data set with labels. Received: {self.describe()}.")
        common = {"num_classes": self.num_classes}
        if split != "train":
            if augmentation is not None:
                raise ValueError(
                    'Expected `augmentation` for split="train" alone. '
                    f"Received: split={split!r}, augmentation={augmentation}."
                )
            return evaluation_batches(part, preprocessing, batch_size=batch_size, **common)
        return training_batches(
            part,
            preprocessing,
            batch_size=min(batch_size, part.num_examples),
            seed=seed,
            augmentation=augmentation,
            one_pass=True,
            **common,
        )

    def describe(self) -> str:
        """Returns one line: name, classes and the size of each split."""
        sizes = ", ".join(f"{split.num_examples:,} {role}" for role, split in self.splits.items())
        return f"{self.name}: {self._known()}, images: {sizes}"

    def _known(self) -> str:
        """Says in words what is known of an image."""
        if not self.class_names:
            return "no labels"
        if self.task == "classes":
            return f"{self.num_classes} classes"
        if self.task == "labels":
            return f"{self.num_classes} labels, of which an image has any"
        names = ", ".join(self.class_names[:4]) + ", ..." * (self.num_classes > 4)
        return f"one label, {names}" if self.task == "binary" else f"values of {names}"

    def as_task(self, task: str | None) -> ImageDataset:
        """Returns this data set for a task, or says that it is for another.

        Of two classes the second one becomes the label of a `"binary"` task.

        Args:
            task: one of `TASKS`, or None for its own.

        Raises:
            ValueError: a task that these labels are not for.
        """
        if task is None or task == self.task:
            return self
        check_choice("task", task, TASKS)
        if (self.task, task, self.num_classes) != ("classes", "binary", 2):
            raise ValueError(
                f"Expected labels for the task {task!r}. Received: {self.describe()}. Leave `task` "
                "out, or give the labels in a table (labels.csv)."
            )
        splits = {role: _of_second_class(split) for role, split in self.splits.items()}
        names = self.class_names[1:]
        return dataclasses.replace(self, class_names=names, task="binary", **splits)


def _of_second_class(split: Split) -> Split:
    def references():
        import tensorflow as tf

        return split.references().map(
            lambda each: {**each, "label": tf.cast(each["label"] == 1, tf.float32)[tf.newaxis]}
        )

    return dataclasses.replace(split, references=references)
