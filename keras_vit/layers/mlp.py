"""The MLP of a block: two matrices around a GELU, or the gated form."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_vit.layers.dropout import Dropout


def gelu_erf(x):
    """The exact Gaussian error linear unit, written with `erf`.

    `keras.ops.gelu(approximate=False)` uses `erfc` on TensorFlow, which ONNX Runtime and LiteRT
    refuse after conversion.

    Reference: "Gaussian Error Linear Units" (arXiv 1606.08415).
    """
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


_for_converters = contextvars.ContextVar("for_converters", default=False)


@contextlib.contextmanager
def gelu_for_converters() -> Iterator[None]:
    """Within it, GELU is built as converters to other runtimes know it, and make one node of it."""
    token = _for_converters.set(True)
    try:
        yield
    finally:
        _for_converters.reset(token)


def gelu_tanh(x):
    """The tanh approximation of the Gaussian error linear unit (arXiv 1606.08415, section 2).

    TensorFlow on a CPU runs this order of factors in one kernel with the matrix product and the
    bias before it, but not that of `keras.ops.gelu`.
    """
    if keras.backend.backend() != "tensorflow" or _for_converters.get():
        return ops.gelu(x, approximate=True)
    cubic = x + x * (0.044715 * ops.square(x))
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * cubic))


def gelu_quick(x):
    """The sigmoid approximation x * sigmoid(1.702 x) (arXiv 1606.08415, section 2)."""
    return x * ops.sigmoid(1.702 * x)


def _half_gate(gate):
    return 0.5 + 0.5 * gate


@ops.custom_gradient
def _trained_gelu_erf(x):
    gate = _half_gate(ops.erf(x * math.sqrt(0.5)))

    def gradient(*inputs, upstream=None):
        upstream = inputs[-1] if upstream is None else upstream
        density = math.sqrt(0.5 / math.pi) * ops.exp(-0.5 * ops.square(x))
        return upstream * (gate + x * density)

    return x * gate, gradient


@ops.custom_gradient
def _trained_gelu_tanh(x):
    scale = math.sqrt(2.0 / math.pi)
    gate = _half_gate(ops.tanh(x * (scale + (0.044715 * scale) * ops.square(x))))

    def gradient(*inputs, upstream=None):
        upstream = inputs[-1] if upstream is None else upstream
        slope = 2.0 * scale + (6.0 * 0.044715 * scale) * ops.square(x)
        return upstream * (gate * (1.0 + x * ((1.0 - gate) * slope)))

    return x * gate, gradient


GELUS = {"erf": gelu_erf, "tanh": gelu_tanh, "quick": gelu_quick}
# The same with their derivatives written down: what is kept for the gradient is the input and the
# gate, and fewer operations run. Compilers (JAX) find that by themselves.
_TRAINED_GELUS = {"erf": _trained_gelu_erf, "tanh": _trained_gelu_tanh, "quick": gelu_quick}


@keras.saving.register_keras_serializable(package="keras_vit")
class Mlp(keras.layers.Layer):
    """Widens each token, applies the non-linearity and narrows it again.

    Args:
        mlp_dim: width that the second matrix reads.
        kind: `"gelu"`, or `"swiglu"`: the first matrix makes gate and value, and what goes on is
            silu(gate) * value.
        gelu: `"erf"`, `"tanh"` or `"quick"`; not used by `"swiglu"`.
        dropout_rate: dropout after the non-linearity and after the second matrix, in [0, 1).

    Input and output: `(batch, tokens, hidden_size)` or `(batch, hidden_size)`. Called with `seeds`,
    a result of `draw_seeds`, it leaves its random state as it is.

    Reference: arXiv 2010.11929, equation 3; "GLU Variants Improve Transformer" (arXiv 2002.05202).
    """

    def __init__(
        self,
        mlp_dim: int,
        *,
        kind: str = "gelu",
        gelu: str | None = "tanh",
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kind not in ("gelu", "swiglu"):
            raise ValueError(f'Expected `kind` to be "gelu" or "swiglu". Received: {kind!r}.')
        if kind == "gelu" and gelu not in GELUS:
            raise ValueError(f"Expected `gelu` to be one of {tuple(GELUS)}. Received: {gelu!r}.")
        self.mlp_dim = mlp_dim
        self.kind = kind
        self.gelu = gelu
        self.dropout_rate = dropout_rate
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)

    def build(self, input_shape):
        def dense(units, name):
            return keras.layers.Dense(
                units,
                bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
                dtype=self.dtype_policy,
                name=name,
            )

        hidden_size = input_shape[-1]
        self.hidden = dense(self.mlp_dim * (2 if self.kind == "swiglu" else 1), "hidden")
        self.output_dense = dense(hidden_size, "output")
        self.hidden.build((None, hidden_size))
        self.output_dense.build((None, self.mlp_dim))
        self.built = True

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
        else:
            by_hand = training and keras.backend.backend() == "tensorflow"
            x = (_TRAINED_GELUS if by_hand else GELUS)[self.gelu](x)
        x = self.dropout(x, training=training, seed=seeds[0])
        x = self.output_dense(x)
        x = self.dropout(x, training=training, seed=seeds[1])
        return ops.reshape(x, (-1, *shape[1:]))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "mlp_dim": self.mlp_dim,
            "kind": self.kind,
            "gelu": self.gelu,
            "dropout_rate": self.dropout_rate,
        }
