"""Which recipe is right for a small folder: ways to use a pretrained model, on small real images.

The tables of `docs/training.md`, "Small folders". What is measured already stands in the JSON file,
so that a search can be stopped at any moment and goes on when it is started again:

    python -m benchmarks.recipes benchmarks/recipes_dinov2.json --name DINOv2-S/14 \
        --model dinov2-small.safetensors --size 42
    python -m benchmarks.recipes benchmarks/recipes_dinov2.json  # the tables alone
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.recipes_report import PROBE, WAYS, Way, read, table
from benchmarks.small_sets import SmallSet, with_folder
from keras_vit.files import write_json

if TYPE_CHECKING:
    from keras_vit.data.dataset import ImageDataset
    from keras_vit.training.recipes import Recipe

SEEDS = (0, 1, 2)
"""Of the images that are drawn, and of the run."""

_TEST_BATCH = 100
_POINTS = 10  # of a run, at which its best epoch is looked for


class Bench:
    """A pretrained model with a head for one set, trained again and again from the same start."""

    def __init__(self, source: str, size: int, subject: SmallSet):
        from keras_vit.training import Recipe, build_model

        self.subject = subject
        self.model = build_model(source, subject.draw(0), Recipe(epochs=1), image_size=size)
        self._heads: dict[int, list[np.ndarray]] = {}
        self._tests: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def recipe(self, way: Way, data: ImageDataset) -> Recipe:
        """Returns the recipe of a way for a data set."""
        from keras_vit.training import auto_recipe, get_recipe

        images = data.split("train").num_examples
        recipe = get_recipe(way.named) if way.named else auto_recipe(data, self.model).recipe
        settings = [f"augmentation.horizontal_flip={self.subject.mirrors}", *way.settings]
        if not way.named:
            settings.append(f"epochs={max(1, round(way.passes / images))}")
        if way.frozen:
            last = round(len(self.model.parts.blocks) * way.frozen) - 1
            settings.append(f"freeze=blocks:0-{last}")
        return recipe.with_settings(settings)

    def runs(self, ways: Iterable[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        """Yields a row for each way and seed; those that share a graph follow each other."""
        data = {seed: self.subject.draw(seed) for seed in {seed for _, seed in ways}}
        graphs: dict[Any, list[tuple[str, int]]] = {}
        for name, seed in ways:
            recipe = self.recipe(WAYS[name], data[seed])
            key = None if name == PROBE else recipe.replace(
                probe_first=False, augmentation=type(recipe.augmentation)()
            )  # fmt: skip
            graphs.setdefault(key, []).append((name, seed))
        for key, members in graphs.items():
            network, start = self._compile(key, data[members[0][1]])
            for name, seed in members:
                begin, work = time.perf_counter(), time.process_time()
                found = self._run(name, seed, data[seed], network, start)
                yield {
                    "way": name,
                    "seed": seed,
                    **found,
                    "train": data[seed].train.num_examples,
                    "test": data[seed].test.num_examples,
                    "seconds": round(time.perf_counter() - begin, 2),
                    "processor_seconds": round(time.process_time() - work, 2),
                }

    def _compile(self, recipe: Recipe | None, data: ImageDataset) -> tuple[Any, list[np.ndarray]]:
        from keras_vit.training.objectives import Classification
        from keras_vit.training.task import Task

        if not hasattr(self, "_start"):
            self._start = [np.array(value) for value in self.model.get_weights()]
        self.model.set_weights(self._start)
        for layer in self.model.layers:
            layer.trainable = True
        if recipe is None:
            return self.model, []
        steps = recipe.total_steps(data.train.num_examples)
        network = Task(recipe, self.model, data, Classification()).compile(steps)
        network.optimizer.build(network.trainable_variables)
        return network, [variable.numpy() for variable in network.optimizer.variables]

    def _run(self, name: str, seed: int, data: Any, network: Any, start: Any):
        import keras

        from keras_vit.data.pipeline import training_batches
        from keras_vit.data.targets import OneHot

        keras.utils.set_random_seed(seed)
        self.model.set_weights(self._start)
        recipe = self.recipe(WAYS[name], data)
        if name == PROBE or recipe.probe_first:
            self._set_head(seed, data)
        if name != PROBE:
            for variable, value in zip(network.optimizer.variables, start, strict=True):
                variable.assign(value)
            batches = training_batches(
                data.train,
                self.model.preprocessing,
                batch_size=recipe.batch_of(data.train.num_examples),
                seed=seed,
                targets=OneHot(data.num_classes),
                augmentation=recipe.augmentation,
            )
            steps, points = recipe.total_steps(data.train.num_examples), []
            parts = _POINTS if WAYS[name].watched else 1
            watch = keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: points.append(self._right(network, data, seed))
            )
            network.fit(batches, steps_per_epoch=steps // parts, epochs=parts, shuffle=False,
                        verbose=0, callbacks=[watch] * (parts > 1))  # fmt: skip
            if parts > 1:
                best = accuracy_of_best(np.array(points), data.train.num_examples // 4)
                return {"accuracy": float(points[-1].mean()), "accuracy_of_best": best}
        return {"accuracy": float(self._right(network, data, seed).mean())}

    def _set_head(self, seed: int, data: Any) -> None:
        from keras_vit.training.probe_first import fit_head

        if seed not in self._heads:
            fit_head(self.model, data, batch_size=_TEST_BATCH, seed=seed)
            self._heads[seed] = self.model.parts.head.get_weights()
        self.model.parts.head.set_weights(self._heads[seed])

    def _right(self, network: Any, data: Any, seed: int) -> np.ndarray:
        if seed not in self._tests:
            self._tests[seed] = [
                (images.numpy(), labels.numpy().argmax(-1))
                for images, labels in data.batches(self.model, _TEST_BATCH, "test")
            ]
        right = [
            network.predict_on_batch(images).argmax(-1) == labels
            for images, labels in self._tests[seed]
        ]
        return np.concatenate(right)


def accuracy_of_best(right: np.ndarray, held_out: int) -> float:
    """Returns the accuracy where the epoch that is best on a few images is kept.

    Each group of images chooses once, and the others are measured on.

    Args:
        right: whether each image is right at each epoch, `(epochs, images)`.
        held_out: images that choose; at most half of all.
    """
    found = []
    for first in range(0, right.shape[1] - held_out + 1, held_out):
        chooses = np.zeros(right.shape[1], bool)
        chooses[first : first + held_out] = True
        found.append(right[right[:, chooses].mean(axis=1).argmax(), ~chooses].mean())
    return float(np.mean(found))


def measure(
    output: str,
    name: str,
    source: str,
    size: int,
    folder: str | None,
    patch: int,
    ways: list[str],
    sets: list[str],
    seeds: list[int],
) -> None:
    """Measures what is not in the file yet, and adds it row by row; `name` is the model's in it."""
    for title, subject in with_folder(folder).items():
        if sets and title not in sets:
            continue
        done = {
            (row["way"], row["seed"])
            for row in read(output)
            if (row["model"], row["set"]) == (name, title)
        }
        todo = [pair for pair in itertools.product(ways, seeds) if pair not in done]
        if not todo:
            continue
        side = patch * round(size * subject.enlarged / patch)
        for row in Bench(source, side, subject).runs(todo):
            write_json(output, [*read(output), {"model": name, "size": side, "set": title, **row}])
            print(title, row, flush=True)


def main() -> None:
    """Measures what is asked for, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--model", help="its file; nothing is measured without one")
    parser.add_argument("--name", help="of the model in the tables")
    parser.add_argument("--size", type=int, default=42)
    parser.add_argument("--patch", type=int, default=14, help="sizes are multiples of it")
    parser.add_argument("--photos", help="a folder with train/CLASS/ and val/CLASS/")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--sets", default="")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    if options.model and not options.name:
        parser.error("Expected --name with --model, as the rows have it.")
    if options.model:
        measure(
            options.output,
            options.name,
            options.model,
            options.size,
            options.photos,
            options.patch,
            options.ways.split(","),
            [name for name in options.sets.split(";") if name],
            [int(seed) for seed in options.seeds.split(",")],
        )
    print(table(read(options.output)))


if __name__ == "__main__":
    main()
