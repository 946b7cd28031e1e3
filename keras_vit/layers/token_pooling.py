"""The encoded tokens become one vector an image."""

from __future__ import annotations

import keras
from keras import ops

MODES = ("token", "gap", "max", "token+distillation", "token+gap")


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenPooling(keras.layers.Layer):
    """Takes the class token, the mean or maximum of the patch tokens, or two of these side by side.

    Args:
        mode: `"token"`, `"gap"`, `"max"`, `"token+distillation"` or `"token+gap"`.
        num_prefix_tokens: tokens in front of the patches; the class token is the first of them, the
            distillation token the second.
        include_prefix_tokens: whether mean and maximum take the prefix tokens too.

    Input: `(batch, tokens, hidden_size)`. Output: `(batch, hidden_size)`, twice as wide for the
    modes with a plus sign.
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
        if mode not in MODES:
            raise ValueError(f"Expected `mode` to be one of {MODES}. Received: mode={mode!r}.")
        needed = {"token": 1, "token+gap": 1, "token+distillation": 2}.get(mode, 0)
        if num_prefix_tokens < needed:
            raise ValueError(
                f"Expected at least {needed} prefix tokens with mode={mode!r}. "
                f"Received: num_prefix_tokens={num_prefix_tokens}."
            )
        self.mode = mode
        self.num_prefix_tokens = num_prefix_tokens
        self.include_prefix_tokens = include_prefix_tokens

    def build(self, input_shape):
        self.built = True

    def call(self, tokens):
        patches = tokens if self.include_prefix_tokens else tokens[:, self.num_prefix_tokens :]
        if self.mode == "token":
            return tokens[:, 0]
        if self.mode == "gap":
            return ops.mean(patches, axis=1)
        if self.mode == "max":
            return ops.max(patches, axis=1)
        second = tokens[:, 1] if self.mode == "token+distillation" else ops.mean(patches, axis=1)
        return ops.concatenate([tokens[:, 0], second], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] * (2 if "+" in self.mode else 1))

    def get_config(self):
        return {
            **super().get_config(),
            "mode": self.mode,
            "num_prefix_tokens": self.num_prefix_tokens,
            "include_prefix_tokens": self.include_prefix_tokens,
        }
