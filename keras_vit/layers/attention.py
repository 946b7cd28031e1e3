"""Every token looks at every token."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_vit.layers.dense import Dense
from keras_vit.layers.dropout import Dropout
from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.layer_norm import NORMS
from keras_vit.layers.relative_bias import RelativePositionBias, bias_among, first_places
from keras_vit.layers.rotary import Rotary


def split_heads(x, num_tokens, num_heads: int, head_dim: int):
    """Turns `(batch * tokens, heads * head_dim)` into `(batch, tokens, heads, head_dim)`."""
    return ops.reshape(x, (-1, num_tokens, num_heads, head_dim))


def attend(query, key, value, dropout=None, training=None, *, bias=None, seed=None):
    """Scaled dot-product attention, written out so that its weights can be seen.

    Args:
        query: `(batch, queries, heads, head_dim)`.
        key: `(batch, keys, heads, head_dim)`.
        value: `(batch, keys, heads, head_dim)`.
        dropout: a layer applied to the weights, or None.
        training: whether `dropout` acts.
        bias: added to the scaled products before the softmax, of a shape that broadcasts to
            theirs, or None.
        seed: what `dropout` drew before, or None.

    Returns:
        The mixed values `(batch, queries, heads, head_dim)` and the weights
        `(batch, heads, queries, keys)`, whose rows sum to 1.

    Reference: arXiv 2010.11929, appendix A.
    """
    query = query * ops.cast(query.shape[-1] ** -0.5, query.dtype)
    query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    # The second transpose is of the last two axes alone, which TensorFlow folds into the product.
    weights = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
    weights = ops.softmax(weights if bias is None else weights + bias, axis=-1)
    mixed = weights if dropout is None else dropout(weights, training=training, seed=seed)
    return ops.transpose(ops.matmul(mixed, value), (0, 2, 1, 3)), weights


def fused_attend(query, key, value, bias=None):
    """What `attend` mixes, by the fastest way the backend has when no weights are wanted.

    TensorFlow has no fused attention, and there the written-out form is faster than Keras's einsum.
    """
    if keras.backend.backend() == "tensorflow":
        return attend(query, key, value, bias=bias)[0]
    return ops.dot_product_attention(query, key, value, bias=bias)


def width_of_head(hidden_size: int, num_heads: int) -> int:
    """Returns the channels of a head, or says that a token cannot be cut into heads."""
    if hidden_size % num_heads:
        raise ValueError(
            "Expected the width of a token to be divisible by `num_heads`. Received: "
            f"width={hidden_size}, num_heads={num_heads}."
        )
    return hidden_size // num_heads


@keras.saving.register_keras_serializable(package="keras_vit")
class NoKeyBias(keras.constraints.Constraint):
    """Keeps the keys' third of a packed bias at zero after each step of training."""

    def __call__(self, bias):
        query, key, value = ops.split(bias, 3)
        return ops.concatenate([query, ops.zeros_like(key), value])


@keras.saving.register_keras_serializable(package="keras_vit")
class MultiHeadSelfAttention(CompositeLayer):
    """Multi-head self-attention with one matrix for query, key and value.

    Args:
        num_heads: heads; divides the width of a token.
        use_bias: whether query, key and value have a bias.
        key_bias: whether that of the keys is trained too; else it stays as it is made, zero.
        qk_norm: whether queries and keys are normalised before they meet, True for each head by
            itself, `"joint"` for all heads together.
        epsilon: added to the variance of these norms.
        dropout_rate: dropout of the attention weights, in [0, 1).
        norm: kind of all norms, a key of `keras_vit.layers.layer_norm.NORMS`.
        output_bias: whether the last matrix has a bias.
        inner_norm: whether what the heads return is normalised before the last matrix (sub-LN).
        rotary: arguments of `Rotary`, which turns queries and keys by the `"coordinates"` of the
            state, or None.
        relative_bias: arguments of `RelativePositionBias`, which makes a bias of the `"grid"` of
            the state, or None.

    Input: `(batch, tokens, hidden_size)`, and the `state` that a `TransformerBlock` gets: with
    `"sizes"` in it, a token counts as a key as often as its size says (proportional attention);
    its `"bias"`, `(1, heads, tokens, tokens)`, is added to the products of queries and keys.
    Output: the shape of the input; with
    `return_attention=True` also the weights `(batch, heads, tokens, tokens)` before dropout, and
    with `return_keys=True` also the keys before they are turned, mean over the heads, `(batch,
    tokens, head_dim)` in float32. Called with `seed`, a result of `draw_seed`, it leaves its random
    state as it is.

    Reference: arXiv 2010.11929, appendix A, equations 5 to 8; arXiv 2210.09461, equation 1, for
    proportional attention.
    """

    def __init__(
        self,
        num_heads: int,
        *,
        use_bias: bool = True,
        key_bias: bool = True,
        qk_norm: bool | str = False,
        epsilon: float = 1e-6,
        dropout_rate: float = 0.0,
        norm: str = "layer",
        output_bias: bool = True,
        inner_norm: bool = False,
        rotary: Mapping[str, Any] | None = None,
        relative_bias: Mapping[str, Any] | None = None,
        **kwargs,
    ):
        # Coordinates stay in float32.
        super().__init__(**{"autocast": rotary is None, **kwargs})
        self.num_heads = num_heads
        self.use_bias = use_bias
        self.key_bias = key_bias
        self.qk_norm = qk_norm
        self.epsilon = epsilon
        self.dropout_rate = dropout_rate
        self.norm = norm
        self.output_bias = output_bias
        self.inner_norm = inner_norm
        self.rotary_arguments = None if rotary is None else dict(rotary)
        self.relative_bias_arguments = None if relative_bias is None else dict(relative_bias)
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy) if dropout_rate else None

    def build(self, input_shape):
        hidden_size = input_shape[-1]
        self.head_dim = width_of_head(hidden_size, self.num_heads)
        self.qkv = Dense(
            3 * hidden_size,
            use_bias=self.use_bias,
            bias_constraint=None if self.key_bias else NoKeyBias(),
            # Xavier-uniform of each of the three matrices: their bound is sqrt(6 / (D + D)).
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform"),
            dtype=self.dtype_policy,
            name="qkv",
        )
        self.output_dense = Dense(
            hidden_size, use_bias=self.output_bias, dtype=self.dtype_policy, name="output"
        )
        self.qkv.build((None, hidden_size))
        self.output_dense.build((None, hidden_size))

        def norm(name):
            return NORMS[self.norm](epsilon=self.epsilon, dtype=self.dtype_policy, name=name)

        if self.inner_norm:
            self.output_norm = norm("output_norm")
            self.output_norm.build((None, hidden_size))
        if self.rotary_arguments is not None:
            self.rotary = Rotary(**self.rotary_arguments, name="rotary")
            self.rotary.build((None, None, self.num_heads, self.head_dim))
        if self.relative_bias_arguments is not None:
            self.relative_bias = RelativePositionBias(
                self.num_heads, **self.relative_bias_arguments, name="relative_bias"
            )
            self.relative_bias.build((None, *self.relative_bias.grid_size))
        if self.qk_norm:
            self.query_norm, self.key_norm = (norm(name) for name in ("query_norm", "key_norm"))
            heads = (hidden_size,) if self.qk_norm == "joint" else (self.num_heads, self.head_dim)
            self.query_norm.build((None, None, *heads))
            self.key_norm.build((None, None, *heads))
        self.finish_build()

    def draw_seed(self) -> Any:
        """Advances the random state and returns the seed, or None where nothing is dropped."""
        return None if self.dropout is None else self.dropout.draw_seed()

    def _normalised(self, norm, part):
        if self.qk_norm != "joint":
            return norm(part)
        shape = ops.shape(part)
        joint = ops.reshape(part, (*shape[:2], self.num_heads * self.head_dim))
        return ops.reshape(norm(joint), shape)

    def call(
        self,
        inputs,
        state=None,
        training=None,
        return_attention=False,
        return_keys=False,
        seed=None,
    ):
        _, num_tokens, hidden_size = ops.shape(inputs)
        qkv = self.qkv(ops.reshape(inputs, (-1, hidden_size)))
        query, key, value = (
            split_heads(part, num_tokens, self.num_heads, self.head_dim)
            for part in ops.split(qkv, 3, axis=-1)
        )
        if self.qk_norm:
            query, key = (
                self._normalised(norm, part)
                for norm, part in ((self.query_norm, query), (self.key_norm, key))
            )
        unturned = key
        if self.rotary_arguments is not None:
            query, key = (self.rotary(x, state["coordinates"]) for x in (query, key))
        bias = self._bias(state or {}, num_tokens)
        bias = None if bias is None else ops.cast(bias, query.dtype)
        weights = None
        if return_attention or (training and self.dropout is not None):
            x, weights = attend(query, key, value, self.dropout, training, bias=bias, seed=seed)
        else:
            x = fused_attend(query, key, value, bias)
        x = ops.reshape(x, (-1, hidden_size))
        x = self.output_dense(self.output_norm(x) if self.inner_norm else x)
        x = ops.reshape(x, (-1, num_tokens, hidden_size))
        extras = [weights] if return_attention else []
        if return_keys:
            extras.append(ops.mean(ops.cast(unturned, "float32"), axis=2))
        return (x, *extras) if extras else x

    def _bias(self, state, num_tokens):
        """Returns what is added to the products of queries and keys, or None."""
        if self.relative_bias_arguments is not None:
            return self._own_bias(state["grid"], num_tokens)
        if "sizes" in state:
            return ops.expand_dims(ops.log(ops.cast(state["sizes"], "float32")), (1, 2))
        return state.get("bias")

    def _own_bias(self, grid, num_tokens):
        bias = self.relative_bias(grid)
        if keras.backend.is_float_dtype(grid.dtype):
            return bias
        prefix = self.relative_bias.num_prefix_tokens
        numbers = ops.reshape(grid, (-1, grid.shape[1] * grid.shape[2]))
        order = ops.cast(ops.argsort(numbers, axis=1), "int32")
        return bias_among(bias, first_places(order, num_tokens - prefix, prefix))

    def compute_output_shape(self, inputs_shape, state_shape=None):
        return inputs_shape

    def get_config(self):
        made_of = {
            "rotary": self.rotary_arguments,
            "relative_bias": self.relative_bias_arguments,
        }
        return {**super().get_config(), **made_of}
