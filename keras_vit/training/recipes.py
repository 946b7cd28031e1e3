"""How a model is trained, as data. A recipe says where its numbers come from."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from keras_vit.checks import nearest_names
from keras_vit.data.augment import Augmentation
from keras_vit.training.schedules import DECAYS

OPTIMIZERS = ("adamw", "sgd")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that `train` needs to know besides model and data.

    Attributes:
        epochs: passes over the training images; None if `steps` is given.
        steps: optimizer steps; None if `epochs` is given.
        batch_size: images a step; a smaller training split makes smaller batches.
        optimizer: `"adamw"` or `"sgd"` (with momentum).
        learning_rate: the highest learning rate.
        warmup: the linear rise to it: below 1 a share of all steps, else steps.
        decay: what follows: `"cosine"`, `"linear"` or `"constant"`.
        beta_1: of AdamW, and the momentum of SGD.
        beta_2: of AdamW.
        weight_decay: what each step takes off a kernel, as a share times the learning rate.
            Biases, norms, scales, tokens and position embeddings do not decay.
        clip_norm: highest global norm of the gradient, or None.
        label_smoothing: share of every label spread over all classes, in [0, 1).
        dropout_rate: of the model, when the recipe builds it; None is the model's own.
        drop_path_rate: likewise.
        ema_momentum: the final weights are a moving average with this momentum; None for the last.
        augmentation: random changes to the training images.
        seed: of initial weights, order, augmentation and dropout.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    warmup: float = 0.05
    decay: str = "cosine"
    beta_1: float = 0.9
    beta_2: float = 0.999
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    dropout_rate: float | None = None
    drop_path_rate: float | None = None
    ema_momentum: float | None = None
    augmentation: Augmentation = Augmentation()
    seed: int = 0

    def __post_init__(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                "Expected one of `epochs` and `steps`. "
                f"Received: epochs={self.epochs}, steps={self.steps}."
            )
        for field, choices in (("optimizer", OPTIMIZERS), ("decay", DECAYS)):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"Expected `{field}` to be one of {choices}. "
                    f"Received: {getattr(self, field)!r}."
                )
        for field in ("epochs", "steps", "batch_size", "seed"):
            value, least = getattr(self, field), 0 if field == "seed" else 1
            if value is not None and (not isinstance(value, int) or value < least):
                raise ValueError(
                    f"Expected `{field}` to be an integer of at least {least}. Received: {value!r}."
                )
        for field in ("learning_rate", "clip_norm"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise ValueError(f"Expected `{field}` to be above 0. Received: {value!r}.")
        for field in ("beta_1", "beta_2", "label_smoothing", "ema_momentum"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"Expected `{field}` to lie in [0, 1). Received: {value!r}.")
        for field in ("warmup", "weight_decay"):
            if not getattr(self, field) >= 0:
                raise ValueError(
                    f"Expected `{field}` to be at least 0. Received: {getattr(self, field)!r}."
                )

    def total_steps(self, num_examples: int) -> int:
        """Returns the optimizer steps of the run.

        Args:
            num_examples: images of the training split.
        """
        if self.steps is not None:
            return self.steps
        return self.epochs * self.steps_an_epoch(num_examples)

    def steps_an_epoch(self, num_examples: int) -> int:
        """Returns the full batches that the training split makes.

        Args:
            num_examples: images of the training split.
        """
        return num_examples // self.batch_of(num_examples)

    def batch_of(self, num_examples: int) -> int:
        """Returns the images a step: `batch_size`, or all where there are fewer."""
        return min(self.batch_size, num_examples)

    def warmup_steps(self, total_steps: int) -> int:
        """Returns the steps of the rise.

        Args:
            total_steps: steps of the run.
        """
        return round(self.warmup * total_steps) if self.warmup < 1 else round(self.warmup)

    def replace(self, **changes: Any) -> Recipe:
        """Returns this recipe with some fields changed and all of it checked again."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Reads what `to_dict` wrote."""
        values = dict(values)
        if isinstance(values.get("augmentation"), Mapping):
            values["augmentation"] = Augmentation(**values["augmentation"])
        return cls(**values)

    def with_settings(self, settings: Sequence[str]) -> Recipe:
        """Returns this recipe changed by `field=value` texts, as a command line gives them.

        Args:
            settings: such as `"learning_rate=3e-4"`, `"augmentation.rotation=5"`, `"steps=none"`.
                Setting `epochs` unsets `steps`, and the other way round.

        Raises:
            ValueError: an unknown field (with the nearest ones) or a value of another type.
        """
        changes, inner = {}, {}
        for setting in settings:
            name, found, text = setting.partition("=")
            if not found:
                raise ValueError(f"Expected `field=value`. Received: {setting!r}.")
            owner, _, field = name.strip().rpartition(".")
            if owner not in ("", "augmentation"):
                raise ValueError(f"Expected a field of a recipe. Received: {name!r}.")
            (inner if owner else changes)[field] = _parse(
                Augmentation if owner else Recipe, field, text
            )
        for one, other in (("epochs", "steps"), ("steps", "epochs")):
            if changes.get(one) is not None:
                changes.setdefault(other, None)
        if inner:
            changes["augmentation"] = dataclasses.replace(self.augmentation, **inner)
        return self.replace(**changes)


def _parse(owner: type, field: str, text: str) -> Any:
    """Turns the text of a setting into the type that the field has."""
    hints = {name: hint for name, hint in get_type_hints(owner).items() if hint is not Augmentation}
    if field not in hints:
        raise ValueError(
            f"Expected a field of {owner.__name__}. Received: {field!r}. "
            + nearest_names(field, hints)
        )
    hint, text = hints[field], text.strip()
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in kinds and text.lower() == "none":
        return None
    try:
        if bool in kinds:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        return kinds[0](text)
    except (KeyError, ValueError):
        wanted = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"Expected {field}=<{wanted}>. Received: {field}={text!r}.") from None


RECIPES: dict[str, Recipe] = {
    # Ours, for the `digits` model from scratch; chosen on folds of the training split. Its result
    # stands in the README. Mirrored digits are no digits, so there is no flip.
    "digits": Recipe(
        epochs=120,
        batch_size=32,
        learning_rate=1e-3,
        warmup=0.1,
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        augmentation=Augmentation(translation=0.1, rotation=10.0, zoom=0.1),
    ),
    # Ours, for a small model on a small folder of photos, from scratch: AdamW, crops and flips as
    # in "Training data-efficient image transformers" (arXiv 2012.12877), Table 9, on a small scale.
    "scratch_small": Recipe(
        epochs=60,
        batch_size=64,
        learning_rate=1e-3,
        warmup=0.1,
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        augmentation=Augmentation(crop_min_area=0.3, horizontal_flip=True),
    ),
    # Ours, for pretrained weights on a small folder: the paper's fine-tuning (Table 4) with a batch
    # that a laptop holds, and as many steps as it gives the smallest data sets.
    "finetune_small": Recipe(
        steps=500,
        batch_size=32,
        optimizer="sgd",
        learning_rate=3e-3,
        warmup=0.1,
        augmentation=Augmentation(crop_min_area=0.5, horizontal_flip=True),
    ),
    # "An Image is Worth 16x16 Words" (arXiv 2010.11929), Table 4, row ImageNet at its middle rate:
    # SGD with momentum 0.9, batch 512, cosine, no weight decay, clip at norm 1. The 500 steps of
    # warm-up are those of the released code. The paper's size is 384 px: build the model with it.
    "paper_finetune": Recipe(
        steps=20_000,
        batch_size=512,
        optimizer="sgd",
        learning_rate=0.03,
        warmup=500,
        augmentation=Augmentation(crop_min_area=0.05, horizontal_flip=True),
    ),
    # The same paper, Table 3, row ImageNet: Adam with decoupled decay 0.3, batch 4096, 10,000 steps
    # of warm-up, cosine, dropout 0.1, 300 epochs at 224 px, clip at norm 1.
    "paper_pretrain": Recipe(
        epochs=300,
        batch_size=4096,
        learning_rate=3e-3,
        warmup=10_000,
        weight_decay=0.3,
        dropout_rate=0.1,
        augmentation=Augmentation(crop_min_area=0.05, horizontal_flip=True),
    ),
}


def get_recipe(name: str) -> Recipe:
    """Returns a recipe.

    Args:
        name: a key of `RECIPES`.

    Raises:
        ValueError: an unknown name; the error lists the nearest ones.
    """
    if name not in RECIPES:
        raise ValueError(
            f"Expected the name of a recipe. Received: {name!r}. " + nearest_names(name, RECIPES)
        )
    return RECIPES[name]
