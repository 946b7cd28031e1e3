"""How the learning rate moves over the steps of a run."""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.checks import check_choice
from keras_vit.training.recipes import DECAYS


@keras.saving.register_keras_serializable(package="keras_vit")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise from 0 to the peak, then a decay that ends at the last step.

    Args:
        peak: learning rate at the end of the rise, above 0.
        total_steps: steps of the whole run, at least 1.
        warmup_steps: steps of the rise, 0 to `total_steps`.
        decay: `"cosine"`, `"linear"` or `"constant"`.
        end: learning rate after `total_steps` for cosine and linear, 0 to `peak`.

    The first step of a rise takes `peak / warmup_steps`, so that no step is lost on a rate of 0.

    Reference: "SGDR" (arXiv 1608.03983), equation 5, for the cosine; "Accurate, Large Minibatch
    SGD" (arXiv 1706.02677), section 2.2, for the rise.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        decay: str = "cosine",
        end: float = 0.0,
    ):
        check_choice("decay", decay, DECAYS)
        if not peak > 0 or not 0 <= end <= peak:
            raise ValueError(
                f"Expected a `peak` above 0 and an `end` in [0, peak]. Received: {peak=}, {end=}."
            )
        if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
            raise ValueError(
                "Expected `total_steps` of at least 1 and `warmup_steps` in [0, total_steps]. "
                f"Received: {total_steps=}, {warmup_steps=}. Train longer or warm up for less."
            )
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)
        self.decay = decay
        self.end = float(end)

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate, float32, of a step counted from 0."""
        step = ops.cast(step, "float32")
        decay_steps = max(1, self.total_steps - self.warmup_steps)
        progress = ops.clip((step - self.warmup_steps) / decay_steps, 0.0, 1.0)
        if self.decay == "cosine":
            share = 0.5 * (1.0 + ops.cos(math.pi * progress))
        elif self.decay == "linear":
            share = 1.0 - progress
        else:
            share = ops.ones_like(progress)
        rate = self.end + (self.peak - self.end) * share
        rise = self.peak * (step + 1.0) / max(1, self.warmup_steps)
        return ops.where(step < self.warmup_steps, rise, rate)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this schedule again."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
            "end": self.end,
        }
