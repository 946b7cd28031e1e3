"""Few labels: what pre-training on unlabelled images gains, and what a teacher gives a small model.

The tables of `docs/training.md`; an hour or so of two cores. Each run is kept in the file as
it ends, and the same command goes on from there:

    python -m benchmarks.few_labels benchmarks/few_labels_cpu.json
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import gc
import json
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit import data as data_room
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.dataset import ImageDataset, Split
from keras_vit.evaluation import evaluate, extract_features, feature_model
from keras_vit.files import write_json
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.tables import align
from keras_vit.training import Recipe, build_model, train
from keras_vit.training.objectives import Distillation, MaskedAutoencoder

SHOTS = (1, 5, 25)
TAUGHT_SHOTS = (5,)  # of which a large model teaches a small one the images without labels
SEEDS = (0, 1, 2, 3, 4)
SCRATCH, TUNED = "from scratch", "pre-trained, fine-tuned"
UNTRAINED, PROBED = "untrained, linear probe", "pre-trained, linear probe"
ALONE, TAUGHT = "small model alone", "the same, distilled"
# Of a small model on all images: with all labels; and with the labels, or a teacher, of few.
_EPOCHS, _LONG_EPOCHS = 30, 120
_MIN_IMAGES = 320  # of an epoch: a few images are repeated to as many
_CONFIG = VisionTransformerConfig(
    image_size=32, in_channels=1, patch_size=8, hidden_size=64, num_layers=4, num_heads=4,
    mlp_dim=128, class_token=False, pooling="gap",
)  # fmt: skip
# The recipes are those of `keras_vit` for small models, shorter; none was tuned on these images.
_TUNING = Recipe(
    steps=400, batch_size=32, learning_rate=1e-3, warmup=0.1, weight_decay=0.05, label_smoothing=0.1
)
_PRETRAINING = Recipe(
    epochs=60, batch_size=64, learning_rate=1e-3, warmup=0.1, beta_2=0.95, weight_decay=0.05
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """Images to learn from, and how.

    Attributes:
        data: has the splits `train`, of which the labels of a few are read, and `test`.
        config: of the model, without head.
        augmentation: random changes to the images.
    """

    data: ImageDataset
    config: VisionTransformerConfig
    augmentation: Augmentation


def digits() -> Subject:
    """The embedded digits: 1,438 images to learn from, 359 to test."""
    changes = Augmentation(translation=0.1, rotation=10.0, zoom=0.1)
    return Subject(data_room.load("digits"), _CONFIG, changes)


def textures(train: int = 150, test: int = 50, side: int = 24) -> Subject:
    """Grey pieces of eight of scikit-image's pictures; the class is the picture.

    Those to learn from are cut from the left 60 % of each, those to test from the right 35 %.

    Args:
        train: images of each class to learn from.
        test: the same to test.
        side: pixels of an image.
    """
    from skimage import data

    pictures = {
        "brick": data.brick(), "grass": data.grass(), "gravel": data.gravel(),
        "moon": data.moon(), "print": data.page(), "retina": data.retina(),
        "stars": data.hubble_deep_field(), "tissue": data.immunohistochemistry(),
    }  # fmt: skip
    draw = np.random.default_rng(0)
    parts = {"train": ([], []), "test": ([], [])}
    for label, picture in enumerate(pictures.values()):
        grey = picture if picture.ndim == 2 else picture[..., :3].mean(-1).astype("uint8")
        width = grey.shape[1]
        for role, count, first, last in (
            ("train", train, 0, int(0.6 * width)),
            ("test", test, int(0.65 * width), width),
        ):
            for _ in range(count):
                top = draw.integers(grey.shape[0] - side + 1)
                left = draw.integers(first, last - side + 1)
                parts[role][0].append(grey[top : top + side, left : left + side])
                parts[role][1].append(label)
    splits = {role: split_of(role, map(_png, images), labels)
              for role, (images, labels) in parts.items()}  # fmt: skip
    named = ImageDataset("textures", tuple(pictures), **splits)
    config = _CONFIG.replace(image_size=side, patch_size=side // 4)
    return Subject(named, config, Augmentation(horizontal_flip=True))


def _png(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def split_of(name: str, images: Any, labels: Sequence[int]) -> Split:
    """Makes a split of encoded images in memory."""
    examples = {"image": list(images), "label": np.asarray(labels, "int64")}

    def references():
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(examples)

    return Split(name, len(labels), references)


def few(split: Split, shots: int, seed: int) -> tuple[np.ndarray, Split, Split]:
    """Draws a few images of each class.

    Returns:
        Their places in the split; them; and them again and again, so that an epoch is not a step.
    """
    examples = list(split.references().as_numpy_iterator())
    labels = np.array([example["label"] for example in examples])
    draw = np.random.default_rng(seed)
    drawn = np.concatenate([
        draw.permutation(np.flatnonzero(labels == label))[:shots] for label in np.unique(labels)
    ])  # fmt: skip
    many = np.tile(drawn, -(-_MIN_IMAGES // len(drawn)))
    once, often = (
        split_of("few", [examples[place]["image"] for place in places], labels[places])
        for places in (drawn, many)
    )
    return drawn, once, often


def train_on(
    model: keras.Model, data: ImageDataset, recipe: Recipe, folder: Any = None, **arguments: Any
) -> None:
    """Trains a model, with nothing watched, so that nothing can be chosen by the test images."""
    alone = dataclasses.replace(data, validation=None, test=None)
    with tempfile.TemporaryDirectory() as scratch:
        train(recipe, model, alone, output_dir=folder or scratch, verbose=0,
              checkpoint_every=10**6, **arguments)  # fmt: skip


def accuracy(model: keras.Model, data: ImageDataset) -> float:
    """Returns the share of test images that a model is right about."""
    return evaluate(model, data.split("test"), data.class_names).top1


def probe(model: keras.Model, data: ImageDataset, once: Split) -> float:
    """Fits logistic regression (C = 1, standardised features) to a few; returns its accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, classes = feature_model(model), data.num_classes
    learned, tested = (
        extract_features(features, split, classes, preprocessing=model.preprocessing)
        for split in (once, data.split("test"))
    )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(learned.vectors, learned.labels)
    return float(classifier.score(tested.vectors, tested.labels))


def few_label_runs(
    subject: Subject, seed: int, smoke: bool = False, taught_shots: Sequence[int] = ()
) -> dict[str, Callable]:
    """Returns what is measured with a seed: name -> a function that returns accuracies by name."""
    data = subject.data
    fields = {"seed": seed, "augmentation": subject.augmentation}
    tuning, pretraining = _TUNING.replace(**fields), _PRETRAINING.replace(**fields)
    if smoke:
        tuning, pretraining = tuning.replace(steps=2), pretraining.replace(epochs=None, steps=2)

    def fresh(classes):
        keras.utils.set_random_seed(seed)
        return VisionTransformer(subject.config.replace(num_classes=classes))

    @functools.cache
    def pretrained():
        folder = tempfile.TemporaryDirectory()
        objective = MaskedAutoencoder(decoder_size=32, decoder_layers=2, decoder_heads=2)
        train_on(fresh(0), data, pretraining, folder.name, objective=objective)
        return folder

    def run(shots):
        _, once, often = few(data.train, shots, seed)
        labelled = dataclasses.replace(data, train=often)
        path = pathlib.Path(pretrained().name) / "model.keras"
        before = build_model(path, None, tuning)
        found = {UNTRAINED: probe(fresh(0), data, once), PROBED: probe(before, data, once)}
        for name, model in (
            (SCRATCH, fresh(data.num_classes)),
            (TUNED, build_model(path, labelled, tuning)),
        ):
            train_on(model, labelled, tuning)
            found[name] = accuracy(model, data)
        return found

    def taught(shots):
        _, _, often = few(data.train, shots, seed)
        labelled = dataclasses.replace(data, train=often)
        path = pathlib.Path(pretrained().name) / "model.keras"
        teacher = build_model(path, labelled, tuning)
        train_on(teacher, labelled, tuning)
        steps = 2 if smoke else _LONG_EPOCHS * data.train.num_examples // tuning.batch_size
        return _alone_and_taught(subject, tuning.replace(steps=steps), teacher, labelled,
                                 dataclasses.replace(data, train=without_labels(data.train)),
                                 alpha=1.0)  # fmt: skip

    runs = {f"{shots} labels a class": functools.partial(run, shots) for shots in SHOTS}
    for shots in taught_shots:
        runs[f"distillation, {shots} labels a class"] = functools.partial(taught, shots)
    return runs


def without_labels(split: Split) -> Split:
    """Returns the images of a split, all with the label 0."""
    images = [example["image"] for example in split.references().as_numpy_iterator()]
    return split_of(split.name, images, np.zeros(len(images), int))


def distillation_runs(subject: Subject, seed: int, smoke: bool = False) -> dict[str, Callable]:
    """Returns the same of a small model with all labels, alone and with a teacher of all labels."""
    data = subject.data
    recipe = _TUNING.replace(
        steps=None, epochs=_EPOCHS, seed=seed, augmentation=subject.augmentation
    )
    if smoke:
        recipe = recipe.replace(epochs=None, steps=2)

    def run():
        keras.utils.set_random_seed(seed)
        teacher = VisionTransformer(subject.config.replace(num_classes=data.num_classes))
        train_on(teacher, data, recipe)
        return _alone_and_taught(subject, recipe, teacher, data, data)

    return {"distillation": run}


def _alone_and_taught(subject, recipe, teacher, labelled, shown, **options):
    """Trains a small model on labelled images; and by a teacher on what it is shown."""
    config = subject.config.replace(
        hidden_size=16, num_layers=2, num_heads=2, mlp_dim=32, num_classes=labelled.num_classes
    )
    found = {"teacher": accuracy(teacher, labelled)}
    for name, data, objective in (
        (ALONE, labelled, None),
        (TAUGHT, shown, Distillation(teacher, "soft", **options)),
    ):
        keras.utils.set_random_seed(recipe.seed)
        model = VisionTransformer(config)
        train_on(model, data, recipe, objective=objective)
        found[name] = accuracy(model, labelled)
    return found


def measure(path: pathlib.Path, seeds: Sequence[int] = SEEDS, smoke: bool = False) -> list[dict]:
    """Runs what the file does not have yet, seed by seed, and returns all of its rows."""
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    done = {(row["subject"], row["run"], row["seed"]) for row in rows}
    subjects = {"digits": digits(), "textures": textures()}
    for seed in seeds:
        for name, subject in subjects.items():
            teaches = name == "digits"
            runs = few_label_runs(subject, seed, smoke, TAUGHT_SHOTS if teaches else ())
            if teaches:
                runs |= distillation_runs(subject, seed, smoke)
            for run, work in runs.items():
                if (name, run, seed) in done:
                    continue
                rows.append({"subject": name, "run": run, "seed": seed, "accuracy": work()})
                print(json.dumps(rows[-1]), flush=True)
                write_json(path, {"rows": rows})
                keras.utils.clear_session()
                gc.collect()
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns means and standard deviations over the seeds as text, a line a run and method."""
    lines = [("images", "run", "method", "accuracy", "seeds", "beats the first in")]
    kinds = dict.fromkeys((row["subject"], row["run"]) for row in rows)
    for subject, run in kinds:
        found = [row["accuracy"] for row in rows if (row["subject"], row["run"]) == (subject, run)]
        first = ALONE if ALONE in found[0] else SCRATCH
        for name in (first, *(name for name in found[0] if name != first)):
            values = 100 * np.array([each[name] for each in found])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            wins = sum(each[name] > each[first] for each in found)
            text = f"{values.mean():.1f} ± {spread:.1f} %"
            won = "" if name == first else f"{wins} of {len(found)}"
            lines.append((subject, run, name, text, str(len(found)), won))
    return "\n".join(align(lines, left=3))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=pathlib.Path, help="the JSON file of the rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--smoke", action="store_true", help="two steps each, to see that it runs")
    arguments = parser.parse_args()
    print(table(measure(arguments.path, arguments.seeds, arguments.smoke)))


if __name__ == "__main__":
    main()
