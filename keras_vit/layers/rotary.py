"""Rotary positions in two dimensions: queries and keys are turned by angles that tell their place.

A patch has two coordinates, its row and its column. Each pair of channels of a head is turned by a
coordinate times a frequency, so that the product of a query and a key depends on where they are
from each other. Tokens in front of the patches have the coordinates 0 and are not turned.

Reference: "RoFormer" (arXiv 2104.09864), section 3.2; "Rotary Position Embedding for Vision
Transformer" (arXiv 2403.13298), section 3, for two dimensions.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.checks import check_choice
from keras_vit.layers.configured import ConfiguredLayer
from keras_vit.layers.seeds import DrawnSeed, seed_of_replica, uniform
from keras_vit.vocabulary import ROTARY_ORDERS, ROTARY_PAIRS, ROTARY_SCALES


def frequencies(head_dim: int, base: float) -> list[float]:
    """Returns the frequencies of one coordinate, from 1 down to nearly 1 / base.

    Args:
        head_dim: channels of a head, divisible by 4: two coordinates with pairs of channels.
        base: called temperature or theta elsewhere, above 1.
    """
    count = head_dim // 4
    return [base ** (-place / count) for place in range(count)]


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchCoordinates(ConfiguredLayer):
    """Says where each token lies, as `MultiHeadSelfAttention` with rotary positions takes it.

    Args:
        num_prefix_tokens: tokens in front of the patches; they get the coordinates 0.
        scale: `"index"` counts rows and columns; `"centred"` goes from -2 pi at one border of the
            image to 2 pi at the other, through the centres of the patches, at any size.
        offset: added to rows and columns that are counted.
        reference_grid: (rows, columns) on which they are counted, whatever grid there is; None for
            the grid there is.
        shift: in training, up to what both coordinates of all patches are moved, each by its own
            uniform draw; rows and columns that are counted, or halves of an image. None for not.
        jitter: in training, up to what factor both are stretched or shrunk, each by its own draw,
            uniform in the logarithm; at least 1, or None.
        rescale: the same, by one draw for both.
        seed: seed of the layer's own random state, or None.

    Input: patches `(batch, rows, columns, values)`. Output: float32 `(1, tokens, 2)`, row and
    column. One draw holds for all images of a batch; under a `tf.distribute` strategy each replica
    draws its own.

    Reference: "DINOv3" (arXiv 2508.10104), section 3.2, for the jitter of the box of coordinates.
    """

    def __init__(
        self,
        *,
        num_prefix_tokens: int = 0,
        scale: str = "index",
        offset: float = 0.0,
        reference_grid: tuple[int, int] | None = None,
        shift: float | None = None,
        jitter: float | None = None,
        rescale: float | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_choice("scale", scale, ROTARY_SCALES)
        self.num_prefix_tokens = num_prefix_tokens
        self.scale = scale
        self.offset = offset
        self.reference_grid = None if reference_grid is None else tuple(reference_grid)
        self.shift = shift
        self.jitter = jitter
        self.rescale = rescale
        self.seed = seed
        drawn = any(most is not None for most in (shift, jitter, rescale))
        self.seed_generator = keras.random.SeedGenerator(seed) if drawn else None

    def build(self, input_shape):
        self.built = True

    def call(self, patches, training=None):
        grid = ops.shape(patches)[1:3]
        rows, columns = (self._line(side, axis) for axis, side in enumerate(grid))
        rows = ops.broadcast_to(rows[:, None, None], (*grid, 1))
        columns = ops.broadcast_to(columns[None, :, None], (*grid, 1))
        coordinates = ops.reshape(ops.concatenate([rows, columns], axis=-1), (1, -1, 2))
        if training and self.seed_generator is not None:
            coordinates = self._augment(coordinates)
        return ops.pad(coordinates, ((0, 0), (self.num_prefix_tokens, 0), (0, 0)))

    @property
    def _unit(self) -> float:
        """What one row, or half of an image, counts."""
        return 2.0 * math.pi if self.scale == "centred" else 1.0

    def _augment(self, coordinates: Any) -> Any:
        seed = DrawnSeed(seed_of_replica(self.seed_generator.next()))

        def drawn(count: int, most: float) -> Any:
            return uniform((count,), seed.next()) * (2 * most) - most

        if self.shift is not None:
            coordinates += drawn(2, self.shift * self._unit)
        for factor, count in ((self.jitter, 2), (self.rescale, 1)):
            if factor is not None:
                coordinates *= ops.exp(drawn(count, math.log(factor)))
        return coordinates

    def _line(self, side: Any, axis: int) -> Any:
        steps = ops.arange(side, dtype="float32")
        length = ops.cast(side, "float32")
        if self.scale == "centred":
            return self._unit * (2.0 * (steps + 0.5) / length - 1.0)
        steps = steps + self.offset
        if self.reference_grid is None:
            return steps
        return steps * (self.reference_grid[axis] / length)

    def compute_output_shape(self, input_shape):
        _, rows, columns, _ = input_shape
        known = rows is not None and columns is not None
        return (1, self.num_prefix_tokens + rows * columns if known else None, 2)

    def compute_output_spec(self, patches, training=None):
        return keras.KerasTensor(self.compute_output_shape(patches.shape), "float32")


@keras.saving.register_keras_serializable(package="keras_vit")
class Rotary(ConfiguredLayer):
    """Turns queries or keys by the place of their token.

    Args:
        base: of the fixed frequencies, see `frequencies`.
        pairs: channels that are turned together: `"halves"` (a channel of the first half of a head
            and its like in the second) or `"neighbours"` (each two that follow each other).
        order: which coordinate the first frequencies turn by: `"yx"` the row, `"xy"` the column.
        learned: whether each head has learned frequencies of its own for both coordinates, so that
            it turns along any direction (RoPE-Mixed); `base` is where they start.

    Inputs: `(batch, tokens, heads, head_dim)` and coordinates `(batch or 1, tokens, 2)`. Output:
    the shape and type of the first; computed in float32.

    Reference: arXiv 2403.13298, equations 5 to 9.
    """

    def __init__(
        self,
        *,
        base: float = 100.0,
        pairs: str = "halves",
        order: str = "yx",
        learned: bool = False,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        check_choice("pairs", pairs, ROTARY_PAIRS)
        check_choice("order", order, ROTARY_ORDERS)
        self.base = base
        self.pairs = pairs
        self.order = order
        self.learned = learned

    def build(self, input_shape):
        *_, heads, head_dim = input_shape
        if head_dim % 4:
            raise ValueError(
                "Expected channels of a head divisible by 4 with rotary positions. "
                f"Received: {head_dim}."
            )
        self.frequencies = None
        if self.learned:
            values = frequencies(head_dim, self.base) * 2
            self.frequencies = self.add_weight(
                shape=(2, heads, head_dim // 2),
                initializer=lambda shape, dtype=None: (
                    ops.ones(shape, dtype) * ops.convert_to_tensor(values, dtype=dtype)
                ),
                name="frequencies",
            )
        self.built = True

    def angles(self, coordinates: Any, head_dim: int) -> Any:
        """Returns the angle of each pair of channels.

        Args:
            coordinates: `(batch or 1, tokens, 2)`.
            head_dim: channels of a head.

        Returns:
            `(batch or 1, tokens, heads or 1, head_dim / 2)`.
        """
        coordinates = ops.cast(coordinates, "float32")
        if self.learned:
            rows, columns = coordinates[:, :, 0, None, None], coordinates[:, :, 1, None, None]
            return rows * self.frequencies[0] + columns * self.frequencies[1]
        axes = (0, 1) if self.order == "yx" else (1, 0)
        fixed = ops.convert_to_tensor(frequencies(head_dim, self.base), dtype="float32")
        parts = [coordinates[:, :, axis, None, None] * fixed for axis in axes]
        return ops.concatenate(parts, axis=-1)

    def call(self, inputs, coordinates):
        x = ops.cast(inputs, "float32")
        angles = self.angles(coordinates, x.shape[-1])
        cosines, sines = ops.cos(angles), ops.sin(angles)
        if self.pairs == "halves":
            first, second = ops.split(x, 2, axis=-1)
        else:
            first, second = x[..., 0::2], x[..., 1::2]
        turned = [first * cosines - second * sines, second * cosines + first * sines]
        if self.pairs == "halves":
            x = ops.concatenate(turned, axis=-1)
        else:
            shape = ops.shape(x)
            x = ops.reshape(ops.stack(turned, axis=-1), (-1, *shape[1:]))
        return ops.cast(x, inputs.dtype)

    def compute_output_spec(self, inputs, coordinates):
        return keras.KerasTensor(inputs.shape, inputs.dtype)
