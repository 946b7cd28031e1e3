"""A learned probe gathers all tokens into one vector (MAP head)."""

import keras
from keras import ops

from keras_vit.layers.attention import attend, fused_attend, split_heads, width_of_head
from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.layer_norm import LayerNormalization
from keras_vit.layers.mlp import Mlp


@keras.saving.register_keras_serializable(package="keras_vit")
class ProbeAttention(CompositeLayer):
    """Multi-head attention of one set of queries to another set of tokens.

    Args:
        num_heads: heads; divides the width of a token.

    Inputs: queries `(batch or 1, queries, hidden_size)` and tokens `(batch, tokens, hidden_size)`.
    Output: `(batch, queries, hidden_size)`; with `return_attention=True` also the weights
    `(batch, heads, queries, tokens)`.

    Reference: arXiv 2106.04560, section 3.3.
    """

    def __init__(self, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, queries_shape, tokens_shape):
        hidden_size = tokens_shape[-1]
        self.head_dim = width_of_head(hidden_size, self.num_heads)

        def dense(units, name, **kwargs):
            layer = keras.layers.Dense(units, dtype=self.dtype_policy, name=name, **kwargs)
            layer.build((None, hidden_size))
            return layer

        self.query = dense(hidden_size, "query")
        # Xavier-uniform of each of the two matrices: n = (D + 2 D) / 2, bound sqrt(6 / (D + D)).
        pair = keras.initializers.VarianceScaling(1.5, "fan_avg", "uniform")
        self.key_value = dense(2 * hidden_size, "key_value", kernel_initializer=pair)
        self.output_dense = dense(hidden_size, "output")
        self.finish_build()

    def call(self, queries, tokens, return_attention=False):
        batch, num_tokens, hidden_size = ops.shape(tokens)
        num_queries = ops.shape(queries)[1]
        query = self.query(ops.cast(queries, self.compute_dtype))
        query = ops.broadcast_to(query, (batch, num_queries, hidden_size))
        query = split_heads(query, num_queries, self.num_heads, self.head_dim)
        pair = self.key_value(ops.reshape(tokens, (-1, hidden_size)))
        key, value = (
            split_heads(part, num_tokens, self.num_heads, self.head_dim)
            for part in ops.split(pair, 2, axis=-1)
        )
        mixed = attend(query, key, value) if return_attention else fused_attend(query, key, value)
        x, weights = mixed if return_attention else (mixed, None)
        x = self.output_dense(ops.reshape(x, (-1, num_queries, hidden_size)))
        return (x, weights) if return_attention else x

    def compute_output_shape(self, queries_shape, tokens_shape):
        return (tokens_shape[0], queries_shape[1], tokens_shape[-1])


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionPooling(CompositeLayer):
    """Multi-head attention pooling: a learned probe attends to all tokens, an MLP follows.

    There is no residual around the attention: y = attention(probe, tokens), y + MLP(norm(y)).

    Args:
        num_heads: attention heads; divides the width of a token.
        mlp_dim: width of the MLP.
        gelu: `"erf"`, `"tanh"` or `"quick"`.
        epsilon: added to the variance of the norm.
        skipped_tokens: leading tokens that the probe does not see.

    Input: `(batch, tokens, hidden_size)`. Output: `(batch, hidden_size)`; with
    `return_attention=True` also the probe's weights `(batch, heads, 1, tokens)`, 0 for the skipped.

    Reference: "Scaling Vision Transformers" (arXiv 2106.04560), section 3.3.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        *,
        gelu: str = "tanh",
        epsilon: float = 1e-6,
        skipped_tokens: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.gelu = gelu
        self.epsilon = epsilon
        self.skipped_tokens = skipped_tokens
        policy = {"dtype": self.dtype_policy}
        self.attention = ProbeAttention(num_heads, name="attention", **policy)
        self.mlp_norm = LayerNormalization(epsilon=epsilon, name="mlp_norm", **policy)
        self.mlp = Mlp(mlp_dim, gelu=gelu, name="mlp", **policy)

    def build(self, input_shape):
        hidden_size = input_shape[-1]
        self.probe = self.add_weight(
            shape=(1, 1, hidden_size), initializer="glorot_uniform", name="probe"
        )
        self.attention.build((1, 1, hidden_size), input_shape)
        self.mlp_norm.build((None, 1, hidden_size))
        self.mlp.build((None, 1, hidden_size))
        self.finish_build()

    def call(self, tokens, training=None, return_attention=False):
        skipped = self.skipped_tokens
        tokens = tokens[:, skipped:] if skipped else tokens
        x = self.attention(self.probe, tokens, return_attention=return_attention)
        x, weights = x if return_attention else (x, None)
        x = x + self.mlp(self.mlp_norm(x), training=training)
        if not return_attention:
            return x[:, 0]
        return x[:, 0], ops.pad(weights, ((0, 0), (0, 0), (0, 0), (skipped, 0)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def compute_output_spec(self, tokens, training=None, return_attention=False):
        output = keras.KerasTensor(self.compute_output_shape(tokens.shape), self.compute_dtype)
        if not return_attention:
            return output
        shape = (tokens.shape[0], self.num_heads, 1, tokens.shape[1])
        return output, keras.KerasTensor(shape, self.compute_dtype)
