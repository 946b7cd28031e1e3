"""The MLP of a block: two matrices around a GELU, or the gated form."""

from typing import Any

import keras
from keras import ops

from keras_vit.checks import check_choice
from keras_vit.layers.dense import Dense
from keras_vit.layers.dropout import Dropout
from keras_vit.layers.gelu import FORMS, gelu
from keras_vit.layers.inner_state import CompositeLayer
from keras_vit.layers.layer_norm import NORMS
from keras_vit.vocabulary import GELUS, MLPS


@keras.saving.register_keras_serializable(package="keras_vit")
class Mlp(CompositeLayer):
    """Widens each token, applies the non-linearity and narrows it again.

    Args:
        mlp_dim: width that the second matrix reads.
        kind: `"gelu"` or `"relu"`; or `"swiglu"`: the first matrix makes gate and value, and what
            goes on is silu(gate) * value.
        gelu: `"erf"`, `"tanh"` or `"quick"`; used by `"gelu"` alone.
        use_bias: whether both matrices have a bias.
        inner_norm: whether what the second matrix reads is normalised before (sub-LN).
        norm: kind of that norm, a key of `keras_vit.layers.layer_norm.NORMS`.
        epsilon: added to its variance.
        dropout_rate: dropout after the non-linearity and after the second matrix, in [0, 1).

    Input and output: `(batch, tokens, hidden_size)` or `(batch, hidden_size)`. Called with `seeds`,
    a result of `draw_seeds`, it leaves its random state as it is.

    Attributes:
        gelu_form: how GELU is written, see `keras_vit.layers.gelu`; an export sets it while it
            traces. No other numbers come of it.

    Reference: arXiv 2010.11929, equation 3; "GLU Variants Improve Transformer" (arXiv 2002.05202).
    """

    def __init__(
        self,
        mlp_dim: int,
        *,
        kind: str = "gelu",
        gelu: str | None = "tanh",
        use_bias: bool = True,
        inner_norm: bool = False,
        norm: str = "layer",
        epsilon: float = 1e-6,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_choice("kind", kind, MLPS)
        if kind == "gelu":
            check_choice("gelu", gelu, GELUS)
        self.mlp_dim = mlp_dim
        self.kind = kind
        self.gelu = gelu
        self.gelu_form = FORMS[0]
        self.use_bias = use_bias
        self.inner_norm = inner_norm
        self.norm = norm
        self.epsilon = epsilon
        self.dropout_rate = dropout_rate
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)

    def build(self, input_shape):
        def dense(units, name):
            return Dense(
                units,
                use_bias=self.use_bias,
                bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
                dtype=self.dtype_policy,
                name=name,
            )

        hidden_size = input_shape[-1]
        self.hidden = dense(self.mlp_dim * (2 if self.kind == "swiglu" else 1), "hidden")
        self.output_dense = dense(hidden_size, "output")
        self.hidden.build((None, hidden_size))
        self.output_dense.build((None, self.mlp_dim))
        if self.inner_norm:
            self.output_norm = NORMS[self.norm](
                epsilon=self.epsilon, dtype=self.dtype_policy, name="output_norm"
            )
            self.output_norm.build((None, self.mlp_dim))
        self.finish_build()

    def draw_seeds(self) -> tuple[Any, Any]:
        """Advances the random state and returns the seeds of both dropouts, None for no dropout."""
        return (self.dropout.draw_seed(), self.dropout.draw_seed())

    def call(self, inputs, training=None, seeds=(None, None)):
        shape = ops.shape(inputs)
        # One matrix product over all tokens of the batch: backends run and fuse it better so.
        x = self.hidden(ops.reshape(inputs, (-1, shape[-1])))
        if self.kind == "swiglu":
            gate, value = ops.split(x, 2, axis=-1)
            x = ops.silu(gate) * value
        elif self.kind == "relu":
            x = ops.relu(x)
        else:
            x = gelu(x, self.gelu, form=self.gelu_form, training=training)
        x = self.dropout(x, training=training, seed=seeds[0])
        x = self.output_dense(self.output_norm(x) if self.inner_norm else x)
        x = self.dropout(x, training=training, seed=seeds[1])
        return ops.reshape(x, (-1, *shape[1:]))

    def compute_output_shape(self, input_shape):
        return input_shape
