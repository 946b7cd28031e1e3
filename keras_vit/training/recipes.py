"""How a model is trained, as data. A recipe says where its numbers come from."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from keras_vit.checks import check_choice, check_int, check_name, check_number
from keras_vit.data.augmentation import Augmentation

DECAYS = ("cosine", "linear", "constant")
AUTO = "auto"
DTYPES = (
    "float32", "mixed_bfloat16", "bfloat16", "mixed_float16", "float16", "float64", AUTO,
)  # fmt: skip
_CHOICES = {
    "optimizer": ("adamw", "sgd", "lamb"),
    "decay": DECAYS,
    "loss": ("softmax", "sigmoid"),
    "class_weights": (None, "balanced"),
    "keep": ("last", "best"),
    "dtype": (None, *DTYPES),
}
FROZEN = re.compile(r"backbone|embedding|blocks:\d+(-\d+)?")
_INTEGERS = (
    "epochs", "steps", "batch_size", "image_size", "accumulation_steps", "lora_rank", "seed",
)  # fmt: skip
_INTERVALS = {
    "(0, inf)": ("learning_rate", "clip_norm", "lora_alpha"),
    "(0, 1]": ("layer_decay",),
    "[0, 1)": ("beta_1", "beta_2", "label_smoothing", "ema_momentum"),
    "[0, inf)": ("warmup", "weight_decay", "end_learning_rate", "sharpness_radius"),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that `train` needs to know besides model and data.

    Attributes:
        epochs: passes over the training images; None if `steps` is given.
        steps: optimizer steps; None if `epochs` is given.
        batch_size: images a step; a smaller training split makes smaller batches.
        optimizer: `"adamw"`, `"sgd"` (with momentum) or `"lamb"` (arXiv 1904.00962).
        learning_rate: the highest learning rate.
        warmup: the linear rise to it: below 1 a share of all steps, else steps.
        decay: what follows: `"cosine"`, `"linear"` or `"constant"`.
        end_learning_rate: where cosine and linear end, at most `learning_rate`.
        beta_1: of AdamW and LAMB, and the momentum of SGD.
        beta_2: of AdamW and LAMB.
        weight_decay: what each step takes off a kernel, as a share times the learning rate.
            Biases, norms, scales, tokens and position embeddings do not decay.
        clip_norm: highest global norm of the gradient, or None.
        loss: `"softmax"`, the cross-entropy of one class, or `"sigmoid"`, the mean of a binary
            cross-entropy for each class. Several labels and values have losses of their own.
        class_weights: `"balanced"` for classes that count as much as each other, whatever the
            numbers of their images; None for images that do.
        label_smoothing: share of every label spread over all classes, in [0, 1).
        dropout_rate: of the model, when the recipe builds it; None is the model's own.
        drop_path_rate: likewise.
        rematerialize: whether the model, when the recipe builds it, computes its blocks again for
            their gradients instead of holding what they computed; None is the model's own.
        dtype: what the layers of the model compute in, when the recipe builds it, a name of a dtype
            policy such as `"mixed_bfloat16"`; `"auto"` for what is faster on the machine, which a
            run writes down in its place; None for Keras's global policy.
        image_size: side of the square image in pixels, when the recipe builds the model; None is
            the model's own.
        accumulation_steps: parts in which the batch is worked off, to save memory.
        sharpness_radius: of sharpness-aware minimisation, which costs a second pass; 0 for none
            (arXiv 2010.01412; the authors of "When Vision Transformers Outperform ResNets", arXiv
            2106.01548, use 0.2 for ViT-B/16).
        layer_decay: each layer learns at this share of the rate of the layer above it, in (0, 1];
            None for one rate (BEiT, arXiv 2106.08254, section 3.1).
        freeze: what stays as it is: `"backbone"`, all but the head; `"embedding"`; or
            `"blocks:0-8"`, blocks 0 to 8 and the embedding below them; None for nothing.
        lora_rank: of adapters on the blocks, which are trained with the head and nothing else; None
            for none. See `VisionTransformer.enable_lora`.
        lora_alpha: what they add counts `lora_alpha / lora_rank`; None is the rank.
        lora_targets: which matrices have one, such as `"qkv,output,mlp"`; None is `"qkv,output"`.
        probe_first: whether the head begins as the logistic regression on the features that the
            model starts with (arXiv 2202.10054).
        ema_momentum: the final weights are a moving average with this momentum; None for the last.
        keep: the weights that the run ends with: `"last"`, or `"best"`, those of the best epoch on
            the split that is watched.
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
    end_learning_rate: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    loss: str = "softmax"
    class_weights: str | None = None
    label_smoothing: float = 0.0
    dropout_rate: float | None = None
    drop_path_rate: float | None = None
    rematerialize: bool | None = None
    dtype: str | None = None
    image_size: int | None = None
    accumulation_steps: int = 1
    sharpness_radius: float = 0.0
    layer_decay: float | None = None
    freeze: str | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None
    lora_targets: str | None = None
    probe_first: bool = False
    ema_momentum: float | None = None
    keep: str = "last"
    augmentation: Augmentation = Augmentation()
    seed: int = 0

    def __post_init__(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                "Expected one of `epochs` and `steps`. "
                f"Received: epochs={self.epochs}, steps={self.steps}."
            )
        for field, choices in _CHOICES.items():
            check_choice(field, getattr(self, field), choices)
        for field in _INTEGERS:
            if getattr(self, field) is not None:
                check_int(field, getattr(self, field), int(field != "seed"))
        for interval, fields in _INTERVALS.items():
            for field in fields:
                if getattr(self, field) is not None:
                    check_number(field, getattr(self, field), interval)
        if self.freeze is not None and not FROZEN.fullmatch(self.freeze):
            raise ValueError(
                'Expected `freeze` to be "backbone", "embedding" or such as "blocks:0-8". '
                f"Received: {self.freeze!r}."
            )
        if self.lora_rank is None and (self.lora_alpha or self.lora_targets):
            raise ValueError(
                "Expected `lora_rank` with `lora_alpha` or `lora_targets`. Received: none."
            )
        if self.lora_rank is not None and self.freeze is not None:
            raise ValueError(
                "Expected either `freeze` or `lora_rank`, which freezes all but adapters and head. "
                f"Received: freeze={self.freeze!r}, lora_rank={self.lora_rank}."
            )
        if self.end_learning_rate > self.learning_rate:
            raise ValueError(
                "Expected `end_learning_rate` of at most `learning_rate`. Received: "
                f"{self.end_learning_rate!r} and {self.learning_rate!r}."
            )

    def smoke(self) -> Recipe:
        """Returns this recipe at a size that runs in seconds, to see whether everything works.

        The method stays; its lengths shrink to 8 steps of 12 small images.
        """
        return self.replace(
            epochs=None,
            steps=8,
            batch_size=12,
            warmup=min(self.warmup, 2),
            image_size=None,
            accumulation_steps=min(self.accumulation_steps, 2),
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
    check_name(f"a field of {owner.__name__}", field, hints)
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
