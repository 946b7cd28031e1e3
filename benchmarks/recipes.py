"""Which recipe is right for a small folder: ways to use a pretrained model, on small real images.

The tables of `docs/training.md`, "Small folders". What is measured already stands in the JSON file,
so that a search can be stopped at any moment and goes on when it is started again:

    python -m benchmarks.recipes benchmarks/recipes.json --model dinov2-small.safetensors --size 42
    python -m benchmarks.recipes benchmarks/recipes.json  # the tables alone
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import pathlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks.small_sets import SmallSet, with_folder
from keras_vit.files import write_json

SEEDS = (0, 1, 2)
"""Of the images that are drawn, and of the run."""

_TEST_BATCH = 100
_ADAMW = ("weight_decay=0.05", "warmup=0.1", "batch_size=16", "learning_rate=2e-4")
_CROPS = ("augmentation.crop_min_area=0.5",)
_DECAY = ("layer_decay=0.75",)


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to use a pretrained model.

    Attributes:
        what: in words.
        settings: fields of the recipe, as a command line gives them.
        passes: images seen, from which the epochs follow; None where `settings` has steps.
        frozen: share of the blocks that are frozen, the first ones.
    """

    what: str
    settings: tuple[str, ...] = ()
    passes: int | None = 800
    frozen: float = 0.0


PROBE = "probe"
_FROM_PROBE = ("probe_first=true",)
WAYS: dict[str, Way] = {
    PROBE: Way("linear probe"),
    "sgd": Way(
        "all by SGD 3e-3, 500 steps of 32",
        ("optimizer=sgd", "learning_rate=3e-3", "batch_size=32", "warmup=0.1", "steps=500",
         *_CROPS), None,
    ),
    "head": Way("last layer, AdamW 1e-3", (*_ADAMW, *_CROPS, "learning_rate=1e-3",
                                           "freeze=backbone")),
    "adamw": Way("AdamW 2e-4, layer decay .75", (*_ADAMW, *_CROPS, *_DECAY)),
    "lpft": Way("the same, probe first", (*_ADAMW, *_CROPS, *_DECAY, *_FROM_PROBE)),
    "lpft 5e-5": Way("probe first, 5e-5", (*_ADAMW, *_CROPS, *_DECAY, *_FROM_PROBE,
                                           "learning_rate=5e-5")),
    "lpft frozen": Way("probe first, two thirds frozen",
                       (*_ADAMW, *_CROPS, *_DECAY, *_FROM_PROBE), frozen=2 / 3),
    "adamw frozen": Way("AdamW, two thirds frozen", (*_ADAMW, *_CROPS, *_DECAY), frozen=2 / 3),
    "lpft plain": Way("probe first, no crops", (*_ADAMW, *_DECAY, *_FROM_PROBE)),
    "lpft long": Way("probe first, thrice as long", (*_ADAMW, *_CROPS, *_DECAY, *_FROM_PROBE),
                     2400),
    "adamw long": Way("AdamW, thrice as long", (*_ADAMW, *_CROPS, *_DECAY), 2400),
}  # fmt: skip


class Bench:
    """A pretrained model with a head for one set, trained again and again from the same start."""

    def __init__(self, source: str, size: int, subject: SmallSet):
        from keras_vit.training import Recipe, build_model

        self.subject = subject
        self.model = build_model(source, subject.draw(0), Recipe(epochs=1), image_size=size)
        self._heads: dict[int, list[np.ndarray]] = {}

    def recipe(self, way: Way, images: int) -> Any:
        """Returns the recipe of a way for a number of training images."""
        from keras_vit.training import Recipe

        length = [] if way.passes is None else [f"epochs={max(1, round(way.passes / images))}"]
        depth = len(self.model.parts.blocks)
        if way.frozen:
            length.append(f"freeze=blocks:0-{round(depth * way.frozen) - 1}")
        flip = [f"augmentation.horizontal_flip={self.subject.mirrors and bool(way.settings)}"]
        return Recipe(epochs=1).with_settings([*way.settings, *length, *flip])

    def runs(self, ways: Iterable[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        """Yields a row for each way and seed; those that share a graph follow each other."""
        data = {seed: self.subject.draw(seed) for seed in {seed for _, seed in ways}}
        graphs: dict[Any, list[tuple[str, int]]] = {}
        for name, seed in ways:
            recipe = self.recipe(WAYS[name], data[seed].train.num_examples)
            key = None if name == PROBE else recipe.replace(
                probe_first=False, augmentation=type(recipe.augmentation)()
            )  # fmt: skip
            graphs.setdefault(key, []).append((name, seed))
        for key, members in graphs.items():
            network, start = self._compile(key, data[members[0][1]])
            for name, seed in members:
                begin, work = time.perf_counter(), time.process_time()
                accuracy = self._run(name, seed, data[seed], network, start)
                yield {
                    "way": name,
                    "seed": seed,
                    "accuracy": accuracy,
                    "train": data[seed].train.num_examples,
                    "test": data[seed].test.num_examples,
                    "seconds": round(time.perf_counter() - begin, 2),
                    "processor_seconds": round(time.process_time() - work, 2),
                }

    def _compile(self, recipe: Any, data: Any) -> tuple[Any, list[np.ndarray]]:
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

    def _run(self, name: str, seed: int, data: Any, network: Any, start: Any) -> float:
        import keras

        from keras_vit.data.pipeline import training_batches
        from keras_vit.data.targets import OneHot

        keras.utils.set_random_seed(seed)
        self.model.set_weights(self._start)
        recipe = self.recipe(WAYS[name], data.train.num_examples)
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
            steps = recipe.total_steps(data.train.num_examples)
            network.fit(batches, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
        return self._accuracy(network, data)

    def _set_head(self, seed: int, data: Any) -> None:
        from keras_vit.training.probe_first import fit_head

        if seed not in self._heads:
            fit_head(self.model, data, batch_size=_TEST_BATCH, seed=seed)
            self._heads[seed] = self.model.parts.head.get_weights()
        self.model.parts.head.set_weights(self._heads[seed])

    def _accuracy(self, network: Any, data: Any) -> float:
        right = 0
        for images, labels in data.batches(self.model, _TEST_BATCH, "test"):
            found = network.predict_on_batch(images.numpy()).argmax(-1)
            right += int((found == labels.numpy().argmax(-1)).sum())
        return right / data.test.num_examples


def measure(
    output: str,
    source: str,
    size: int,
    folder: str | None,
    patch: int,
    ways: list[str],
    sets: list[str],
    seeds: list[int],
) -> None:
    """Measures what is not in the file yet, and adds it row by row."""
    name = pathlib.Path(source).resolve().parent.name + "/" + pathlib.Path(source).stem
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


def read(path: str) -> list[dict[str, Any]]:
    """Returns the rows of a file, none if it is not there."""
    file = pathlib.Path(path)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Returns for each model a Markdown table of ways by sets: % right, mean and spread of seeds.

    A cell of one seed has no spread; the mean of all is over the sets, where none is missing.
    """
    texts = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        sets = list(dict.fromkeys(row["set"] for row in mine))
        lines = [("", *sets, "mean of all"), ("---", *["---:"] * (len(sets) + 1))]
        for way in [way for way in WAYS if any(row["way"] == way for row in mine)]:
            cells, means = [], []
            for title in sets:
                found = [
                    100 * row["accuracy"]
                    for row in mine
                    if (row["way"], row["set"]) == (way, title)
                ]
                means += [np.mean(found)] if found else []
                spread = f" ± {np.std(found, ddof=1):.1f}" if len(found) > 1 else ""
                cells.append(f"{np.mean(found):.1f}{spread}" if found else "")
            whole = f"{np.mean(means):.1f}" if len(means) == len(sets) else ""
            lines.append((WAYS[way].what, *cells, whole))
        texts.append("\n".join([model, *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(texts)


def main() -> None:
    """Measures what is asked for, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--model")
    parser.add_argument("--size", type=int, default=42)
    parser.add_argument("--patch", type=int, default=14, help="sizes are multiples of it")
    parser.add_argument("--photos", help="a folder with train/CLASS/ and val/CLASS/")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--sets", default="")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    if options.model:
        measure(
            options.output,
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
