"""Which map finds the thing: maps compared on scenes whose objects are known.

The table of `docs/explanations.md`:

    python -m benchmarks.explanations dinov2-small.safetensors --size 224 --count 100
    python -m benchmarks.explanations digits.keras --train --registers 4 --count 300
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.scenes import Scenes, compose, compose_digits
from keras_vit import interpret
from keras_vit.files import write_json
from keras_vit.tables import align

SIZE_OF_DIGITS = 64
BATCH = 4  # images at a time
PART_OF_DIGITS = 1400  # of scikit-learn's 1,797: the first ones are learned from


def methods(model: Any) -> dict[str, Callable[..., np.ndarray]]:
    """Returns what is compared: name -> (images, classes) -> (batch, rows, columns).

    Args:
        model: a `keras_vit.VisionTransformer` with a head.
    """

    def rollout(**options):
        return lambda images, classes: interpret.attention_rollout(
            model, images, batch_size=BATCH, **options
        )

    def without_artifacts(measure):
        def measured(images, classes):
            found = interpret.artifact_patches(model, images, batch_size=BATCH)
            return measure(images, classes, found)

        return measured

    def relevance(images, classes, **options):
        return interpret.class_relevance(model, images, classes, batch_size=BATCH, **options)

    def heads(images, classes):
        return interpret.head_attention(model, images, batch_size=BATCH)

    chance = np.random.default_rng(0)
    return {
        "class relevance": relevance,
        "class relevance, artefacts filled": without_artifacts(
            lambda images, classes, found: interpret.fill_patches(relevance(images, classes), found)
        ),
        "gradient rollout": functools.partial(relevance, normalize=True),
        "foreground": lambda images, classes: interpret.feature_foreground(
            model, images, batch_size=BATCH
        ),
        "last block, mean of heads": lambda *given: heads(*given).mean(axis=1),
        "last block, most of heads": lambda *given: heads(*given).max(axis=1),
        "last block, best head": lambda *given: _sharpest(heads(*given)),
        "rollout": rollout(),
        "rollout, artefacts left out": without_artifacts(
            lambda images, classes, found: rollout(left_out=found)(images, classes)
        ),
        "rollout, least of heads": rollout(head_fusion="min"),
        "rollout without the first block": rollout(first_block=1),
        "distance from the centre": lambda images, classes: _centered(heads(images, classes)[:, 0]),
        "chance": lambda images, classes: chance.random(heads(images, classes)[:, 0].shape),
    }


def _centered(like: np.ndarray) -> np.ndarray:
    """Maps of the same shape that know no image: the nearer to the centre, the higher."""
    rows, columns = (np.linspace(-1, 1, side) ** 2 for side in like.shape[1:])
    return np.broadcast_to(-(rows[:, None] + columns), like.shape)


def _sharpest(maps: np.ndarray) -> np.ndarray:
    """The head whose map has the least entropy, which asks for no mask."""
    share = maps / np.maximum(maps.sum(axis=(2, 3), keepdims=True), 1e-12)
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=(2, 3))
    return maps[np.arange(len(maps)), entropy.argmin(axis=1)]


def localize(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Says how well maps find objects.

    Args:
        maps: (count, grid rows, grid columns).
        masks: (count, height, width) bool, a whole number of pixels a patch.

    Returns:
        `pointing`: share of images whose highest patch is one that the object covers at least half
        (or as much as any). `rank`: mean rank of the object's patches among all, by how much of it
        is in each, 0 for the lowest and 1 for the highest; chance is 0.5. `pointing_error` and
        `rank_error`: their standard errors over the images.

    Reference: the pointing game is that of "Top-down Neural Attention by Excitation Backprop"
    (arXiv 1608.00507), section 4.1.
    """
    from scipy.stats import rankdata

    count, rows, columns = maps.shape
    patch = masks.shape[1] // rows, masks.shape[2] // columns
    covered = masks.reshape(count, rows, patch[0], columns, patch[1]).mean(axis=(2, 4))
    hits, ranks = [], []
    for values, share in zip(maps.reshape(count, -1), covered.reshape(count, -1), strict=True):
        hits.append(share[values.argmax()] >= min(0.5, share.max()))
        rank = (rankdata(values) - 1) / (len(values) - 1)
        ranks.append((rank * share).sum() / share.sum())
    told = {"pointing": np.float64(hits), "rank": np.float64(ranks)}
    return {name: float(values.mean()) for name, values in told.items()} | {
        f"{name}_error": float(values.std() / len(values) ** 0.5) for name, values in told.items()
    }


def measure_explanations(
    model: Any, images: np.ndarray, scenes: Scenes, *, batch: int = 10
) -> dict[str, dict[str, float]]:
    """Measures every map on scenes.

    Args:
        model: a `keras_vit.VisionTransformer` with a head for the kinds of objects.
        images: the scenes as the model takes them.
        scenes: their masks and labels.
        batch: images seen together; `foreground` has the components of one such batch.

    Returns:
        Name of a map -> what `localize` returns.
    """
    rows = {}
    for name, measure in methods(model).items():
        maps = [
            measure(images[start : start + batch], scenes.labels[start : start + batch])
            for start in range(0, len(images), batch)
        ]
        rows[name] = localize(np.concatenate(maps), scenes.masks)
        print(name, *_cells(rows[name]), flush=True)
    return rows


def _cells(row: dict[str, float]) -> list[str]:
    return [
        f"{100 * row[key]:.1f} ± {100 * row[f'{key}_error']:.1f}" for key in ("pointing", "rank")
    ]


def fit_head(model: Any, count: int = 160) -> None:
    """Gives a model a linear head for the kinds of objects, fitted to scenes of its own.

    Args:
        model: a `keras_vit.VisionTransformer` with a head of ten classes.
        count: scenes that it is fitted to.
    """
    import keras
    from sklearn.linear_model import LogisticRegression

    scenes = compose(count, model.preprocessing.size[0], seed=7)
    features = keras.Model(model.inputs, model.features)
    vectors = features.predict(prepare(model, scenes), batch_size=8, verbose=0)
    fitted = LogisticRegression(max_iter=500).fit(vectors, scenes.labels)
    model.parts.head.kernel.assign(fitted.coef_.T)
    model.parts.head.bias.assign(fitted.intercept_)


def train_on_digits(path: pathlib.Path, registers: int, *, count: int = 12_000, epochs: int = 20):
    """Trains a small model on scenes of digits, others in each epoch.

    Args:
        path: the `.keras` file to write.
        registers: register tokens.
        count: scenes of an epoch.
        epochs: how many.
    """
    import keras

    from keras_vit import VisionTransformer, VisionTransformerConfig

    keras.utils.set_random_seed(0)
    config = VisionTransformerConfig(
        image_size=SIZE_OF_DIGITS, patch_size=8, hidden_size=96, num_layers=6, num_heads=3,
        mlp_dim=192, num_classes=10, num_register_tokens=registers,
    )  # fmt: skip
    model = VisionTransformer(config)
    steps = epochs * (count // 64)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=1e-3, warmup_steps=steps // 20
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.05), loss="sparse_categorical_crossentropy"
    )
    for epoch in range(epochs):
        scenes = compose_digits(
            count, SIZE_OF_DIGITS, seed=100 + epoch, part=slice(0, PART_OF_DIGITS)
        )
        model.fit(prepare(model, scenes), scenes.labels, batch_size=64, verbose=2)
    model.save(path)


def prepare(model: Any, scenes: Scenes) -> np.ndarray:
    """Returns scenes as a model takes them, whole."""
    from keras_vit import preprocess_input

    whole = model.preprocessing.replace(resize="squash", crop_fraction=1.0)
    return np.asarray(preprocess_input(scenes.images, whole), "float32")


def main() -> None:
    """Measures a model, and prints and writes what came out."""
    from keras_vit import from_checkpoint
    from keras_vit.applications.model_files import load_model

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=224, help="side in pixels, for a checkpoint")
    parser.add_argument("--count", type=int, default=100, help="scenes")
    parser.add_argument("--train", action="store_true", help="train it on digits first")
    parser.add_argument("--registers", type=int, default=0, help="of a model to train")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file that gets a row")
    given = parser.parse_args()
    if given.train:
        train_on_digits(given.model, given.registers)
    if given.model.suffix == ".keras":
        model = load_model(given.model)
        scenes = compose_digits(
            given.count, SIZE_OF_DIGITS, seed=2, part=slice(PART_OF_DIGITS, None)
        )
    else:
        shape = (given.size, given.size, 3)
        model = from_checkpoint(given.model, pooling="token", classes=10, input_shape=shape)
        fit_head(model)
        scenes = compose(given.count, given.size, seed=1)
    images = prepare(model, scenes)
    outputs = model.predict(images, batch_size=8, verbose=0)
    accuracy = float((outputs.argmax(axis=-1) == scenes.labels).mean())
    rows = measure_explanations(model, images, scenes)
    cells = [(name, *_cells(row)) for name, row in rows.items()]
    print(f"\n{given.model.name}, {images.shape[1]} px, {given.count} scenes, "
          f"accuracy {100 * accuracy:.1f} %")  # fmt: skip
    print("\n".join(align([("map", "pointing (%)", "rank (%)"), *cells])))
    if given.output:
        known = json.loads(given.output.read_text()) if given.output.exists() else {}
        known[f"{given.model.stem}, {images.shape[1]} px"] = {
            "scenes": given.count, "accuracy": accuracy, "maps": rows,
        }  # fmt: skip
        write_json(given.output, known)


if __name__ == "__main__":
    main()
