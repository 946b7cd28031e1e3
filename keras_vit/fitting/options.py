"""What a training step does beyond Keras's own."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_vit.checks import check_int, check_number


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """The arguments that `TrainableModel.compile` takes beside Keras's.

    Attributes:
        accumulation_steps: the batch of a step is worked off in this many parts, whose gradients
            are added before the one update; it saves memory and leaves the numbers as they are.
        sharpness_radius: the update takes the gradient at the worst point this far from the
            weights, in units of the weights; 0 for the gradient at the weights ("Sharpness-Aware
            Minimization", arXiv 2010.01412, equation 2, with the 2-norm). Costs a second pass.
        learning_rate_scales: factor of the learning rate by the name of a top-level layer of the
            model; layers that are not named have 1. See `layer_decay`.
    """

    accumulation_steps: int = 1
    sharpness_radius: float = 0.0
    learning_rate_scales: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_int("accumulation_steps", self.accumulation_steps, 1)
        check_number("sharpness_radius", self.sharpness_radius, "[0, inf)")
        for name, scale in self.learning_rate_scales.items():
            check_number(f"learning_rate_scales[{name!r}]", scale, "[0, inf)")

    @property
    def is_plain(self) -> bool:
        """Whether the step is Keras's own."""
        return self == StepOptions()

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments of `compile`."""
        scales = {name: float(scale) for name, scale in self.learning_rate_scales.items()}
        return {**dataclasses.asdict(self), "learning_rate_scales": scales}

    def factors(self, layers: Sequence[Any]) -> dict[int, float]:
        """Returns the factor of the learning rate by the `id` of a variable of top-level layers."""
        return {
            id(variable): self.learning_rate_scales[layer.name]
            for layer in layers
            if layer.name in self.learning_rate_scales
            for variable in layer.trainable_variables
        }

    def check_layers(self, names: set[str]) -> None:
        """Refuses, by name, a factor for what is none of the top-level layers of the model."""
        unknown = sorted(set(self.learning_rate_scales) - names)
        if unknown:
            raise ValueError(
                "Expected `learning_rate_scales` for layers of the model. "
                f"Received: {unknown}; it has {sorted(names)}."
            )
