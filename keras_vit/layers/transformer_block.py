"""One block of the encoder: attention, then MLP, each normalised before and added after."""

from __future__ import annotations

import keras

from keras_vit.layers.attention import MultiHeadSelfAttention
from keras_vit.layers.drop_path import DropPath
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.mlp import Mlp


@keras.saving.register_keras_serializable(package="keras_vit")
class TransformerBlock(keras.layers.Layer):
    """A pre-norm Transformer block.

    Args:
        num_heads: attention heads; divides the width of a token.
        mlp_dim: width that the second matrix of the MLP reads.
        mlp: `"gelu"` or `"swiglu"`.
        gelu: `"erf"`, `"tanh"` or `"quick"`.
        epsilon: added to the variance of the layer norms.
        qkv_bias: whether query, key and value have a bias.
        qk_norm: whether queries and keys are normalised per head.
        layer_scale_init: initial value of the learned scale of each branch; None for no scale.
        dropout_rate: dropout of attention output and MLP, in [0, 1).
        attention_dropout_rate: dropout of the attention weights, in [0, 1).
        drop_path_rate: probability that a branch is dropped for an image, in [0, 1).

    Input and output: `(batch, tokens, hidden_size)`. Called with `return_attention=True`, it also
    returns the attention weights `(batch, heads, tokens, tokens)`.

    Reference: arXiv 2010.11929, equations 2 and 3.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        *,
        mlp: str = "gelu",
        gelu: str | None = "tanh",
        epsilon: float = 1e-6,
        qkv_bias: bool = True,
        qk_norm: bool = False,
        layer_scale_init: float | None = None,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.epsilon = epsilon
        self.layer_scale_init = layer_scale_init
        self.dropout_rate = dropout_rate
        self.drop_path_rate = drop_path_rate
        policy = {"dtype": self.dtype_policy}
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=epsilon, name="attention_norm", **policy
        )
        self.attention = MultiHeadSelfAttention(
            num_heads,
            use_bias=qkv_bias,
            qk_norm=qk_norm,
            epsilon=epsilon,
            dropout_rate=attention_dropout_rate,
            name="attention",
            **policy,
        )
        self.mlp_norm = keras.layers.LayerNormalization(epsilon=epsilon, name="mlp_norm", **policy)
        self.mlp = Mlp(
            mlp_dim, kind=mlp, gelu=gelu, dropout_rate=dropout_rate, name="mlp", **policy
        )
        scaled = layer_scale_init is not None
        self.attention_scale, self.mlp_scale = (
            LayerScale(layer_scale_init, name=name, **policy) if scaled else None
            for name in ("attention_scale", "mlp_scale")
        )
        self.dropout = keras.layers.Dropout(dropout_rate, **policy)
        self.drop_path = DropPath(drop_path_rate, **policy)

    def build(self, input_shape):
        for layer in (
            self.attention_norm,
            self.attention,
            self.mlp_norm,
            self.mlp,
            self.attention_scale,
            self.mlp_scale,
        ):
            if layer is not None:
                layer.build(input_shape)
        self.built = True

    def call(self, tokens, training=None, return_attention=False):
        x = self.attention_norm(tokens)
        x = self.attention(x, training=training, return_attention=return_attention)
        x, weights = x if return_attention else (x, None)
        x = self.dropout(x, training=training)
        if self.attention_scale is not None:
            x = self.attention_scale(x)
        tokens = tokens + self.drop_path(x, training=training)

        x = self.mlp(self.mlp_norm(tokens), training=training)
        if self.mlp_scale is not None:
            x = self.mlp_scale(x)
        tokens = tokens + self.drop_path(x, training=training)
        return (tokens, weights) if return_attention else tokens

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, tokens, training=None, return_attention=False):
        output = keras.KerasTensor(tokens.shape, self.compute_dtype)
        if not return_attention:
            return output
        batch, num_tokens, _ = tokens.shape
        shape = (batch, self.num_heads, num_tokens, num_tokens)
        return output, keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "mlp": self.mlp.kind,
            "gelu": self.mlp.gelu,
            "epsilon": self.epsilon,
            "qkv_bias": self.attention.use_bias,
            "qk_norm": self.attention.qk_norm,
            "layer_scale_init": self.layer_scale_init,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention.dropout_rate,
            "drop_path_rate": self.drop_path_rate,
        }
