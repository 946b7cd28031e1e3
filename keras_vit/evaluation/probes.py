"""What the frozen features of a model are worth: k-NN, linear probe and few-shot regression."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.checks import check_choice
from keras_vit.data.dataset import ImageDataset
from keras_vit.evaluation.few_shot_regression import L2, SEEDS, SHOTS, few_shot
from keras_vit.evaluation.frozen_features import Features, extract_features, feature_model
from keras_vit.evaluation.logistic_probe import linear_probe
from keras_vit.evaluation.neighbours import NEIGHBOURS, TEMPERATURE, nearest_neighbours
from keras_vit.tables import align

METHODS = ("knn", "linear", "few_shot")


@dataclasses.dataclass(frozen=True)
class Probes:
    """What was measured on frozen features; accuracies are 0 to 1.

    Attributes:
        width: numbers a feature vector.
        train_images: images that the methods learned from.
        test_images: images that they were measured on.
        knn: rows of `nearest_neighbours`.
        linear: the result of `linear_probe`, or None.
        few_shot: rows of `few_shot`.
        skipped: what was asked for and could not be measured, and why.
    """

    width: int
    train_images: int
    test_images: int
    knn: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    linear: dict[str, Any] | None = None
    few_shot: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)

    def table(self) -> str:
        """Returns a line for each method as aligned text, and one for each that was left out."""
        rows = []
        for row in self.knn:
            rows.append((f"{row['k']}-NN, weighted", f"{100 * row['weighted']:.2f} %"))
            rows.append((f"{row['k']}-NN, majority", f"{100 * row['majority']:.2f} %"))
        if self.linear is not None:
            note = "" if self.linear["converged"] else ", not converged"
            name = f"linear probe (C = {self.linear['C']:g}{note})"
            rows.append((name, f"{100 * self.linear['accuracy']:.2f} %"))
        for row in self.few_shot:
            name = f"few-shot regression, {row['shots']} a class"
            spread = f" ± {100 * row['deviation']:.2f}" if len(row["accuracies"]) > 1 else ""
            rows.append((name, f"{100 * row['accuracy']:.2f}{spread} %"))
        lines = align([(name, f"accuracy {value}") for name, value in rows], left=2)
        return "\n".join([*lines, *(f"left out: {reason}" for reason in self.skipped)])

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values that JSON can hold."""
        return dataclasses.asdict(self)


def probe(
    model: keras.Model,
    data: ImageDataset,
    role: str,
    *,
    methods: Sequence[str] = METHODS,
    k: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    shots: Sequence[int] = SHOTS,
    l2: float = L2,
    seeds: Sequence[int] = SEEDS,
    tokens: str | None = None,
    batch_size: int = 64,
    verbose: int = 0,
) -> Probes:
    """Measures how well simple methods classify by the frozen features of a model.

    The features of both splits are computed once. The methods learn from the training split alone.

    Args:
        model: a `keras_vit.VisionTransformer`, with or without head, or any functional Keras model
            with `preprocessing`; see `feature_model`.
        data: has a training split.
        role: the split to measure on: `"validation"` or `"test"`.
        methods: any of `"knn"`, `"linear"` and `"few_shot"`.
        k: numbers of neighbours; those above the number of training images are left out.
        temperature: of the weighted vote of the neighbours.
        shots: images a class for the regression; numbers above the images of the smallest class are
            left out.
        l2: penalty of the regression.
        seeds: draws of the regression; the first is the seed of the linear probe.
        tokens: see `feature_model`.
        batch_size: images a batch.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        All accuracies, and what was left out.

    Raises:
        ValueError: no training split, the training split as `role`, or an unknown method.
    """
    for method in methods:
        check_choice("method", method, METHODS)
    if role == "train":
        raise ValueError(
            'Expected a split that is held out. Received: role="train", from which the methods '
            "learn."
        )
    network = feature_model(model, tokens=tokens)
    train, test = (
        extract_features(
            network,
            data.split(part),
            data.num_classes,
            preprocessing=model.preprocessing,
            batch_size=batch_size,
            verbose=verbose,
        )
        for part in ("train", role)
    )
    neighbours, shots, skipped = _possible(train, data.class_names, methods, k, shots)
    values: dict[str, Any] = {"skipped": skipped}
    if neighbours:
        values["knn"] = nearest_neighbours(train, test, k=neighbours, temperature=temperature)
    if "linear" in methods and min(count for count in train.class_counts if count) > 1:
        values["linear"] = linear_probe(train, test, seed=seeds[0])
    if shots:
        values["few_shot"] = few_shot(train, test, shots=shots, l2=l2, seeds=seeds)
    return Probes(train.vectors.shape[1], len(train.labels), len(test.labels), **values)


def _possible(
    train: Features,
    class_names: Sequence[str],
    methods: Sequence[str],
    k: Sequence[int],
    shots: Sequence[int],
) -> tuple[list[int], list[int], list[str]]:
    """Returns the neighbours and shots that the training images allow, and why others are not."""
    counts, examples = train.class_counts, len(train.labels)
    smallest = int(counts.min())
    k, shots = k if "knn" in methods else (), shots if "few_shot" in methods else ()
    skipped = [f"{n}-NN: there are {examples} training images" for n in k if n > examples]
    if "linear" in methods and min(count for count in counts if count) < 2:
        skipped.append("linear probe: a class has a single training image, none can be held out")
    skipped += [
        f"{n} shots: class {class_names[counts.argmin()]!r} has {smallest} training images"
        for n in shots
        if n > smallest
    ]
    return [n for n in k if n <= examples], [n for n in shots if n <= smallest], skipped
