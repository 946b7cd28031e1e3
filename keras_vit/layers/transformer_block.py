"""One block of the encoder: attention, then MLP, each normalised before and added after."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_vit.layers.attention import MultiHeadSelfAttention
from keras_vit.layers.drop_path import DropPath
from keras_vit.layers.dropout import Dropout
from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.layer_norm import NORMS
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.mlp import Mlp
from keras_vit.layers.token_merging import (
    match_tokens,
    merge_tokens,
    number_merged,
    take_tokens,
)


@keras.saving.register_keras_serializable(package="keras_vit")
class TransformerBlock(CompositeLayer):
    """A pre-norm Transformer block.

    Args:
        num_heads: attention heads; divides the width of a token.
        mlp_dim: width that the second matrix of the MLP reads.
        mlp: `"gelu"`, `"swiglu"` or `"relu"`.
        gelu: `"erf"`, `"tanh"` or `"quick"`.
        epsilon: added to the variance of the layer norms.
        qkv_bias: whether query, key and value have a bias.
        key_bias: whether that of the keys is trained too, or stays zero.
        qk_norm: whether queries and keys are normalised, as in `MultiHeadSelfAttention`.
        norm: kind of all norms, a key of `keras_vit.layers.layer_norm.NORMS`.
        attention_output_bias: whether the last matrix of the attention has a bias.
        attention_inner_norm: whether what it reads is normalised before (sub-LN).
        mlp_bias: whether the matrices of the MLP have a bias.
        mlp_inner_norm: whether what the last one reads is normalised before.
        rotary: arguments of `Rotary`, by which queries and keys are turned, or None.
        relative_bias: arguments of `RelativePositionBias`, which is added to their products, or
            None.
        layer_scale_init: initial value of the learned scale of each branch; None for no scale.
        dropout_rate: dropout of attention output and MLP, in [0, 1).
        attention_dropout_rate: dropout of the attention weights, in [0, 1).
        drop_path_rate: probability that a branch is dropped for an image, in [0, 1).
        token_merging: tokens that are merged into others between attention and MLP, at most half of
            the patch tokens.
        num_prefix_tokens: leading tokens that never merge.
        rematerialize: whether a training step keeps the block's input alone and computes the block
            a second time for the gradient. The numbers stay the same, dropout included.

    Input and output: tokens `(batch, tokens, hidden_size)`; beside them, where there is one, the
    `state` that blocks hand on, a dictionary of tensors:

    - `"sizes"` `(batch, tokens)` int32, how many tokens of the full sequence each one holds, and
      `"places"` `(batch, all tokens)` int32, where each token of the full sequence is now: behind a
      block that merges;
    - `"coordinates"` `(batch or 1, tokens, 2)` float32, row and column of each token, where
      positions are rotary. A merged token lies at the mean of its parts;
    - `"grid"` `(1, rows, columns)`, whose shape is the grid of patches, where a block makes a
      relative position bias of its own, or int32 `(batch, rows, columns)`, the number that a patch
      has among the tokens, where the last are left out; and `"bias"` `(batch or 1, heads, tokens,
      tokens)` float32 where all blocks have the same.

    A block that neither gets nor makes a state returns the tokens alone. Called with
    `return_attention=True`, it also returns the attention weights `(batch, heads, tokens, tokens)`,
    at the end.

    Reference: arXiv 2010.11929, equations 2 and 3; arXiv 2210.09461, section 3, for merging;
    "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174) for rematerialisation.
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
        key_bias: bool = True,
        qk_norm: bool | str = False,
        norm: str = "layer",
        attention_output_bias: bool = True,
        attention_inner_norm: bool = False,
        mlp_bias: bool = True,
        mlp_inner_norm: bool = False,
        rotary: Mapping[str, Any] | None = None,
        relative_bias: Mapping[str, Any] | None = None,
        layer_scale_init: float | None = None,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        token_merging: int = 0,
        num_prefix_tokens: int = 0,
        rematerialize: bool = False,
        **kwargs,
    ):
        # Coordinates stay in float32.
        super().__init__(**{"autocast": rotary is None, **kwargs})
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.epsilon = epsilon
        self.layer_scale_init = layer_scale_init
        self.dropout_rate = dropout_rate
        self.drop_path_rate = drop_path_rate
        self.token_merging = token_merging
        self.num_prefix_tokens = num_prefix_tokens
        self.rematerialize = rematerialize
        policy = {"dtype": self.dtype_policy}
        self.norm = norm
        self.attention_norm, self.mlp_norm = (
            NORMS[norm](epsilon=epsilon, name=name, **policy)
            for name in ("attention_norm", "mlp_norm")
        )
        self.attention = MultiHeadSelfAttention(
            num_heads,
            use_bias=qkv_bias,
            key_bias=key_bias,
            qk_norm=qk_norm,
            epsilon=epsilon,
            dropout_rate=attention_dropout_rate,
            norm=norm,
            output_bias=attention_output_bias,
            inner_norm=attention_inner_norm,
            rotary=rotary,
            relative_bias=relative_bias,
            name="attention",
            **policy,
        )
        self.mlp = Mlp(
            mlp_dim,
            kind=mlp,
            gelu=gelu,
            use_bias=mlp_bias,
            inner_norm=mlp_inner_norm,
            norm=norm,
            epsilon=epsilon,
            dropout_rate=dropout_rate,
            name="mlp",
            **policy,
        )
        scaled = layer_scale_init is not None
        self.attention_scale, self.mlp_scale = (
            LayerScale(layer_scale_init, name=name, **policy) if scaled else None
            for name in ("attention_scale", "mlp_scale")
        )
        self.dropout = Dropout(dropout_rate, **policy)
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
        self.finish_build()

    def draw_seeds(self) -> dict[str, Any]:
        """Advances the random state as one training call does and returns the seeds of that call.

        Returns:
            Seeds by their use, None where nothing is dropped.
        """
        return {
            "attention": self.attention.draw_seed(),
            "dropout": self.dropout.draw_seed(),
            "mlp": self.mlp.draw_seeds(),
            "attention_path": self.drop_path.draw_seed(),
            "mlp_path": self.drop_path.draw_seed(),
        }

    def call(self, tokens, state=None, training=None, return_attention=False):
        tokens = ops.cast(tokens, self.compute_dtype)
        if not (self.rematerialize and training):
            return self._run(tokens, state, training, return_attention, {})
        # Drawn once, out here: the function runs twice and must drop the same both times.
        seeds = self.draw_seeds()

        def run(tokens):
            return self._run(tokens, state, training, return_attention, seeds)

        return keras.remat(run)(tokens)

    def _run(self, tokens, state, training, return_attention, seeds):
        x = self.attention(
            self.attention_norm(tokens),
            state,
            training=training,
            return_attention=return_attention,
            return_keys=bool(self.token_merging),
            seed=seeds.get("attention"),
        )
        x, *extras = x if isinstance(x, tuple) else (x,)
        keys = extras.pop() if self.token_merging else None
        x = self.dropout(x, training=training, seed=seeds.get("dropout"))
        if self.attention_scale is not None:
            x = self.attention_scale(x)
        tokens = tokens + self.drop_path(x, training=training, seed=seeds.get("attention_path"))
        if self.token_merging:
            tokens, state = self.merge(tokens, state, keys)

        x = self.mlp(self.mlp_norm(tokens), training=training, seeds=seeds.get("mlp", (None, None)))
        if self.mlp_scale is not None:
            x = self.mlp_scale(x)
        tokens = tokens + self.drop_path(x, training=training, seed=seeds.get("mlp_path"))
        outputs = [tokens, *([state] if state else []), *extras]
        return tokens if len(outputs) == 1 else tuple(outputs)

    def merge(self, tokens: Any, state: dict | None, keys: Any) -> tuple[Any, dict[str, Any]]:
        """Merges the tokens that are most alike, as the block does behind its attention.

        Args:
            tokens: `(batch, tokens, hidden_size)`.
            state: what the block got beside them, or None.
            keys: `(batch, tokens, head_dim)`, what is compared.

        Returns:
            Tokens and state, as the block returns them.
        """
        state = dict(state or {})
        if "sizes" not in state:
            state["sizes"] = ops.ones(ops.shape(tokens)[:2], dtype="int32")
            state["places"] = ops.cumsum(state["sizes"], axis=1) - 1
        num_tokens = ops.shape(tokens)[1]
        count = number_merged(self.token_merging, num_tokens, self.num_prefix_tokens)
        if isinstance(count, int) and not count:
            return tokens, state
        matching = match_tokens(keys, count, self.num_prefix_tokens)
        if "coordinates" in state:
            shape = (*ops.shape(tokens)[:2], 2)
            everywhere = ops.broadcast_to(state["coordinates"], shape)
            state["coordinates"], _ = merge_tokens(everywhere, state["sizes"], matching)
        tokens, state["sizes"] = merge_tokens(tokens, state["sizes"], matching)
        state["places"] = take_tokens(matching.places, state["places"])
        return tokens, state

    def compute_output_shape(self, tokens_shape, state_shape=None):
        state = {name: keras.KerasTensor(shape) for name, shape in (state_shape or {}).items()}
        outputs = self.compute_output_spec(keras.KerasTensor(tokens_shape), state)
        return keras.tree.map_structure(lambda tensor: tensor.shape, outputs)

    def compute_output_spec(self, tokens, state=None, training=None, return_attention=False):
        batch, num_tokens, hidden_size = tokens.shape
        length, outputs = num_tokens, dict(state or {})
        if self.token_merging:
            if num_tokens is not None:
                length -= number_merged(self.token_merging, num_tokens, self.num_prefix_tokens)
            full = outputs["places"].shape[1] if "places" in outputs else num_tokens
            outputs["sizes"] = keras.KerasTensor((batch, length), "int32")
            outputs["places"] = keras.KerasTensor((batch, full), "int32")
            if "coordinates" in outputs:
                outputs["coordinates"] = keras.KerasTensor((batch, length, 2), "float32")
        outputs = {
            name: keras.KerasTensor(tensor.shape, tensor.dtype) for name, tensor in outputs.items()
        }
        outputs = [
            keras.KerasTensor((batch, length, hidden_size), self.compute_dtype),
            *([outputs] if outputs else []),
        ]
        if return_attention:
            shape = (batch, self.num_heads, num_tokens, num_tokens)
            outputs.append(keras.KerasTensor(shape, self.compute_dtype))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def get_config(self):
        return {
            **super().get_config(),
            "mlp": self.mlp.kind,
            "gelu": self.mlp.gelu,
            "qkv_bias": self.attention.use_bias,
            "key_bias": self.attention.key_bias,
            "qk_norm": self.attention.qk_norm,
            "attention_output_bias": self.attention.output_bias,
            "attention_inner_norm": self.attention.inner_norm,
            "mlp_bias": self.mlp.use_bias,
            "mlp_inner_norm": self.mlp.inner_norm,
            "rotary": self.attention.rotary_arguments,
            "relative_bias": self.attention.relative_bias_arguments,
            "attention_dropout_rate": self.attention.dropout_rate,
        }
