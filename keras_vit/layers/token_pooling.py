"""The encoded tokens become one vector an image."""

import keras
from keras import ops

from keras_vit.layers.configured import ConfiguredLayer

# Leading tokens that each way of reading cannot be without.
READINGS = {"token": 1, "distillation": 2, "gap": 0, "max": 0, "avgmax": 0}


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenPooling(ConfiguredLayer):
    """Takes the class token, the mean or maximum of the patch tokens, or some of these in a row.

    Args:
        mode: `"token"` (the class token), `"distillation"` (that token), `"gap"` (the mean),
            `"max"`, `"avgmax"` (the mean of these two), or some of these joined by plus signs.
        num_prefix_tokens: tokens in front of the patches; the class token is the first of them, the
            distillation token the second.
        include_prefix_tokens: whether mean and maximum take the prefix tokens too.

    Input: `(batch, tokens, hidden_size)`. Output: `(batch, hidden_size)` for each part of the mode,
    side by side.
    """

    def __init__(
        self,
        mode: str,
        *,
        num_prefix_tokens: int = 1,
        include_prefix_tokens: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        unknown = set(mode.split("+")) - set(READINGS)
        if unknown:
            raise ValueError(
                f"Expected `mode` of {tuple(READINGS)}, joined by plus signs. "
                f"Received: mode={mode!r}."
            )
        needed = max(READINGS[part] for part in mode.split("+"))
        if num_prefix_tokens < needed:
            raise ValueError(
                f"Expected at least {needed} prefix tokens with mode={mode!r}. "
                f"Received: num_prefix_tokens={num_prefix_tokens}."
            )
        self.mode = mode
        self.num_prefix_tokens = num_prefix_tokens
        self.include_prefix_tokens = include_prefix_tokens

    def call(self, tokens):
        patches = tokens if self.include_prefix_tokens else tokens[:, self.num_prefix_tokens :]
        readings = {
            "token": lambda: tokens[:, 0],
            "distillation": lambda: tokens[:, 1],
            "gap": lambda: ops.mean(patches, axis=1),
            "max": lambda: ops.max(patches, axis=1),
            "avgmax": lambda: (ops.mean(patches, axis=1) + ops.max(patches, axis=1)) / 2,
        }
        parts = [readings[part]() for part in self.mode.split("+")]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] * (1 + self.mode.count("+")))
