"""The table of poolings: a row each, which says all that is known of it.

Nothing here imports Keras before a layer is made.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Pooling:
    """What becomes of the encoded tokens.

    Attributes:
        tokens: learned tokens that are read whole: 1 for the class token, 2 for class and
            distillation token; where there are any, the first one answers for the image.
        patches: whether the patch tokens are read too.
        width: width of the result, in widths of a token.
        attends: whether a learned probe attends to the tokens.
        two_heads: whether each half of the result has a head of its own.
        keeps_all: whether all tokens are the result, and there is no vector for a head.
    """

    tokens: int = 0
    patches: bool = False
    width: int = 1
    attends: bool = False
    two_heads: bool = False
    keeps_all: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of the config that have to be true."""
        return ("class_token", "distillation_token")[: self.tokens]

    def make_layer(self, config: Any, policy: Any) -> Any:
        """Makes the layer from `(batch, tokens, hidden_size)` to `(batch, width * hidden_size)`.

        Returns:
            The layer, or None where all tokens are kept.
        """
        from keras_vit import layers

        if self.keeps_all:
            return None
        prefix, included = config.num_prefix_tokens, config.pooling_includes_prefix_tokens
        if not self.attends:
            return layers.TokenPooling(
                config.pooling,
                num_prefix_tokens=prefix,
                include_prefix_tokens=included,
                dtype=policy,
                name="pooling",
            )
        return layers.AttentionPooling(
            config.pooling_num_heads or config.num_heads,
            config.pooling_mlp_dim or config.mlp_dim,
            gelu=config.gelu or "tanh",
            epsilon=config.layer_norm_epsilon,
            skipped_tokens=0 if included else prefix,
            dtype=policy,
            name="pooling",
        )

    def count_products(self, config: Any) -> int:
        """Counts the multiplications of the layer for one image."""
        if not self.attends:
            return 0
        tokens, width = config.num_tokens, config.hidden_size
        if not config.pooling_includes_prefix_tokens:
            tokens -= config.num_prefix_tokens
        attention = tokens * 2 * width * width + 2 * tokens * width
        return attention + width * (2 * width + 2 * (config.pooling_mlp_dim or config.mlp_dim))


POOLINGS: dict[str, Pooling] = {
    "token": Pooling(tokens=1),
    "gap": Pooling(patches=True),
    "map": Pooling(patches=True, attends=True),
    "max": Pooling(patches=True),
    "avgmax": Pooling(patches=True),
    "token+distillation": Pooling(tokens=2, width=2, two_heads=True),
    "token+gap": Pooling(tokens=1, patches=True, width=2),
    "none": Pooling(patches=True, keeps_all=True),
}
