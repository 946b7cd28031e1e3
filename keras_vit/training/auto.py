"""The recipe that follows from data and model, and why it is as it is."""

import dataclasses
import re

import keras

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.dataset import ImageDataset
from keras_vit.tables import align
from keras_vit.training.probe_first import has_linear_head
from keras_vit.training.recipes import Recipe

# As `benchmarks/recipes.py` has measured them on sets of 40 to 320 images with models of 96 and 384
# numbers a token; docs/training.md has the tables. Between and beyond these widths the rate follows
# the rule that what suits Adam falls as the width grows (arXiv 2203.03466).
_IMAGES_SEEN = 2400
_RATE, _WIDTH, _HIGHEST_RATE = 2e-4, 384, 1e-3
_EPOCHS = (4, 60)
_SMALL_BATCH, _BATCH, _MANY = 16, 32, 500
_MOST_TO_PROBE = 20_000  # images, whose features are in memory at once
# Names of classes that are marks, or whose mirrored images are of another class.
_NOT_MIRRORED = re.compile(r"\w|.*(\b|_)(left|right)(\b|_).*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A recipe, and why.

    Attributes:
        recipe: what was chosen.
        reasons: by field of the recipe, what was chosen in words, and why.
    """

    recipe: Recipe
    reasons: dict[str, tuple[str, str]]

    def describe(self, used: Recipe | None = None) -> str:
        """Returns a line for each choice.

        Args:
            used: the recipe with a user's own changes: what they overrule is left out.
        """
        kept = [
            words
            for field, words in self.reasons.items()
            if used is None or getattr(used, field) == getattr(self.recipe, field)
        ]
        return "\n".join(f"  {line}" for line in align(kept, left=2)) if kept else ""


def auto_recipe(data: ImageDataset, model: keras.Model) -> Choice:
    """Chooses how a pretrained model is fine-tuned.

    The head begins as a linear probe where it can. Everything is trained by AdamW, at rates that
    fall from layer to layer and with the width of the model; a small data set is passed over more
    often.

    Args:
        data: has a training split.
        model: with pretrained weights, and a head for the classes.

    Returns:
        The recipe, and why it is as it is.

    Reference: arXiv 2202.10054 (probe first), arXiv 2106.08254 (layer decay), arXiv 2203.03466
        (rate and width).
    """
    images = data.split("train").num_examples
    least, most = _EPOCHS
    epochs = min(max(round(_IMAGES_SEEN / images), least), most)
    batch = _SMALL_BATCH if images < _MANY else _BATCH
    probes = has_linear_head(model) and data.task == "classes" and images <= _MOST_TO_PROBE
    marks = [name for name in data.class_names if _NOT_MIRRORED.fullmatch(name)]
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch,
        learning_rate=_rate(model),
        warmup=0.1,
        weight_decay=0.05,
        layer_decay=0.75 if hasattr(model, "parameter_groups") else None,
        probe_first=probes,
        augmentation=Augmentation(crop_min_area=0.5, horizontal_flip=not marks),
    )
    return Choice(recipe, _reasons(recipe, images, marks))


def _rate(model: keras.Model) -> float:
    width = model.config.hidden_size if hasattr(model, "parameter_groups") else _WIDTH
    return min(float(f"{_RATE * _WIDTH / width:.1g}"), _HIGHEST_RATE)


def _reasons(recipe: Recipe, images: int, marks: list[str]) -> dict[str, tuple[str, str]]:
    decay = f", each layer at {recipe.layer_decay:g} of the rate above" * bool(recipe.layer_decay)
    probes = "as a linear probe, which training then betters"
    if not recipe.probe_first:
        probes = "at zero: no single linear head, no one class an image, or too many images"
    mirrored = f"not mirrored, because of class {marks[0]!r}" if marks else "mirrored or not"
    return {
        "epochs": (f"{recipe.epochs} epochs", f"for {images:,} images: the fewer, the more passes"),
        "batch_size": (
            f"batch {recipe.batch_size}",
            f"{_SMALL_BATCH} below {_MANY} images, else {_BATCH}",
        ),
        "learning_rate": (
            f"AdamW {recipe.learning_rate:g}",
            f"wider models learn more slowly; weight decay {recipe.weight_decay:g}{decay}",
        ),
        "probe_first": ("head begins", probes),
        "freeze": (
            "nothing frozen",
            "low layers hardly move at their rates; --freeze saves time",
        ),
        "augmentation": ("images", f"cuts of at least half of each, {mirrored}"),
    }
