"""Patches become tokens: projected, led by the class token, and given their positions."""

import keras
from keras import ops

from keras_vit.layers.dropout import Dropout
from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.layer_norm import NORMS
from keras_vit.layers.position_resize import resize_positions


def sincos2d(grid: tuple, hidden_size: int):
    """Returns the fixed two-dimensional sine-cosine embedding of a grid.

    Args:
        grid: (rows, columns); integers or scalar tensors.
        hidden_size: D, divisible by 4.

    Returns:
        `(1, rows * columns, hidden_size)`: sine and cosine of the column, then of the row, at D / 4
        frequencies from 1 down to 1/10000.

    Reference: "Better plain ViT baselines for ImageNet-1k" (arXiv 2205.01580), section 2.
    """
    quarter = hidden_size // 4
    steps = ops.arange(quarter, dtype="float32") / max(quarter - 1, 1)
    frequencies = ops.power(10000.0, -steps)
    rows, columns = (ops.arange(side, dtype="float32")[:, None] * frequencies for side in grid)
    shape = (grid[0], grid[1], quarter)
    parts = [ops.broadcast_to(part(columns)[None], shape) for part in (ops.sin, ops.cos)]
    parts += [ops.broadcast_to(part(rows)[:, None], shape) for part in (ops.sin, ops.cos)]
    return ops.reshape(ops.concatenate(parts, axis=-1), (1, -1, hidden_size))


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchEncoder(CompositeLayer):
    """Projects flat patches to tokens, puts learned tokens in front and adds positions.

    The sequence is: class token, distillation token, registers, patches row by row. The first
    `position_embedding_prefix_rows` prefix tokens and all patches get a position; registers none.

    Args:
        hidden_size: D, the width of a token.
        use_bias: whether the projection has a bias.
        norm: kind of the norm of what it makes, a key of `keras_vit.layers.layer_norm.NORMS`; None
            for none.
        epsilon: added to the variance of that norm.
        class_token: whether a learned class token goes in front.
        distillation_token: whether a learned distillation token follows it.
        num_register_tokens: learned register tokens after these.
        position_embedding: `"learned"`, `"sincos2d"` or `"none"`.
        position_embedding_prefix_rows: rows of the learned embedding for prefix tokens.
        interpolation: how the learned embedding is resized to another grid
            (`keras_vit.layers.interpolation_matrix`).
        grid_size: (rows, columns) of the learned embedding; None takes the grid the layer is built
            with.
        dropout_rate: dropout of the whole sequence, in [0, 1).

    Input: `(batch, rows, columns, patch values)`. Output: `(batch, tokens, hidden_size)`.

    Reference: arXiv 2010.11929, equation 1.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        use_bias: bool = True,
        norm: str | None = None,
        epsilon: float = 1e-6,
        class_token: bool = True,
        distillation_token: bool = False,
        num_register_tokens: int = 0,
        position_embedding: str = "learned",
        position_embedding_prefix_rows: int = 1,
        interpolation: str = "linear_align_corners",
        grid_size: tuple[int, int] | None = None,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.use_bias = use_bias
        self.norm_kind = norm
        self.epsilon = epsilon
        self.has_class_token = class_token
        self.has_distillation_token = distillation_token
        self.num_register_tokens = num_register_tokens
        self.position_embedding_kind = position_embedding
        self.position_embedding_prefix_rows = position_embedding_prefix_rows
        self.interpolation = interpolation
        self.grid_size = None if grid_size is None else tuple(grid_size)
        self.dropout_rate = dropout_rate
        self.projection = keras.layers.Dense(
            hidden_size, use_bias=use_bias, dtype=self.dtype_policy, name="projection"
        )
        self.norm = None
        if norm is not None:
            self.norm = NORMS[norm](epsilon=epsilon, dtype=self.dtype_policy, name="norm")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                "Expected patches of shape (batch, rows, columns, values), as `Patches` makes them."
                f" Received: shape={tuple(input_shape)}."
            )
        learned = self.position_embedding_kind == "learned"
        if self.grid_size is None and learned:
            if None in input_shape[1:3]:
                raise ValueError(
                    "Expected `grid_size` for patches of any grid, since the learned position "
                    f"embedding is stored at one. Received: shape={tuple(input_shape)}."
                )
            self.grid_size = tuple(input_shape[1:3])
        self.projection.build((None, input_shape[-1]))
        if self.norm is not None:
            self.norm.build((None, self.hidden_size))

        def token(name, present, count=1, initializer="zeros"):
            shape = (1, count, self.hidden_size)
            return (
                self.add_weight(shape=shape, initializer=initializer, name=name)
                if present
                else None
            )

        def normal():  # one for each table: the same object would give both the same numbers
            return keras.initializers.RandomNormal(stddev=0.02)

        self.class_token = token("class_token", self.has_class_token)
        self.distillation_token = token("distillation_token", self.has_distillation_token)
        self.register_tokens = token(
            "register_tokens", self.num_register_tokens, self.num_register_tokens, normal()
        )
        rows = self.position_embedding_prefix_rows
        if learned:
            rows += self.grid_size[0] * self.grid_size[1]
        self.position_embedding = token("position_embedding", learned, rows, normal())
        self.finish_build()

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens in front of the patches."""
        return (
            int(self.has_class_token) + int(self.has_distillation_token) + self.num_register_tokens
        )

    def positions(self, grid: tuple):
        """Returns what is added to the tokens of a grid.

        Args:
            grid: (rows, columns); integers or scalar tensors.

        Returns:
            `(1, prefix rows + rows * columns, hidden_size)` in float32.
        """
        if self.position_embedding_kind == "sincos2d":
            return sincos2d(grid, self.hidden_size)
        return resize_positions(
            self.position_embedding,
            self.grid_size,
            grid,
            self.position_embedding_prefix_rows,
            self.interpolation,
        )

    def call(self, patches, training=None):
        batch, rows, columns, width = ops.shape(patches)
        tokens = self.projection(ops.reshape(patches, (-1, width)))
        tokens = tokens if self.norm is None else self.norm(tokens)
        tokens = ops.reshape(tokens, (-1, rows * columns, self.hidden_size))
        prefix = [
            ops.cast(token, self.compute_dtype)
            for token in (self.class_token, self.distillation_token, self.register_tokens)
            if token is not None
        ]
        split = self.position_embedding_prefix_rows
        if self.position_embedding_kind != "none":
            positions = ops.cast(self.positions((rows, columns)), self.compute_dtype)
            tokens = tokens + positions[:, split:]
        if prefix:
            prefix = ops.concatenate(prefix, axis=1)
            if split:
                prefix = ops.concatenate(
                    [prefix[:, :split] + positions[:, :split], prefix[:, split:]], axis=1
                )
            prefix = ops.broadcast_to(prefix, (batch, self.num_prefix_tokens, self.hidden_size))
            tokens = ops.concatenate([prefix, tokens], axis=1)
        return self.dropout(tokens, training=training)

    def compute_output_shape(self, input_shape):
        batch, rows, columns, _ = input_shape
        patches = None if rows is None or columns is None else rows * columns
        tokens = None if patches is None else self.num_prefix_tokens + patches
        return (batch, tokens, self.hidden_size)

    def get_config(self):
        return {
            **super().get_config(),
            "norm": self.norm_kind,
            "class_token": self.has_class_token,
            "distillation_token": self.has_distillation_token,
            "position_embedding": self.position_embedding_kind,
        }
