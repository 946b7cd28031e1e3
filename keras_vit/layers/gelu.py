"""The Gaussian error linear unit in all its kinds and forms: one value, written in several ways.

A runtime makes one kernel or one node of a GELU only where it is written as that runtime knows it.

Reference: "Gaussian Error Linear Units" (arXiv 1606.08415).
"""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.xla import compiled, compiles_parts

FORMS = ("fused", "portable")
COMPILED_FROM = 512  # channels: of fewer, the calls of compiled functions take as long


def gelu(x: Any, kind: str, *, form: str = "fused", training: bool | None = None) -> Any:
    """Applies a Gaussian error linear unit.

    Args:
        x: a tensor of any shape.
        kind: `"erf"` (exact), `"tanh"` (its approximation, section 2 of the reference) or
            `"quick"` (x * sigmoid(1.702 x), the same section).
        form: `"fused"`, as the backend runs it fastest, or `"portable"`, as converters to other
            runtimes make one node of it.
        training: whether the derivative is written down too: what is kept for the gradient is the
            input and the gate, and fewer operations run. Compilers (JAX) find that by themselves.

    Returns:
        A tensor of the same shape and type.
    """
    by_hand = training and keras.backend.backend() == "tensorflow"
    if by_hand and kind != "quick" and x.shape[-1] >= COMPILED_FROM and compiles_parts():
        return compiled(_trained_erf if kind == "erf" else _trained_exp)(x)
    if kind == "erf":
        return _trained_erf(x) if by_hand else _erf(x)
    if kind == "tanh":
        return _trained_tanh(x) if by_hand else _tanh(x, form)
    return x * ops.sigmoid(1.702 * x)


def _erf(x):
    # `keras.ops.gelu(approximate=False)` uses `erfc` on TensorFlow, which ONNX Runtime and LiteRT
    # refuse after conversion.
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


def _tanh(x, form):
    if keras.backend.backend() != "tensorflow" or form == "portable":
        return ops.gelu(x, approximate=True)
    # TensorFlow on a CPU runs this order of factors in one kernel with the matrix product and the
    # bias before it, but not that of `keras.ops.gelu`.
    cubic = x + x * (0.044715 * ops.square(x))
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * cubic))


@ops.custom_gradient
def _trained_erf(x):
    gate = 0.5 + 0.5 * ops.erf(x * math.sqrt(0.5))

    def gradient(*inputs, upstream=None):
        upstream = inputs[-1] if upstream is None else upstream
        density = math.sqrt(0.5 / math.pi) * ops.exp(-0.5 * ops.square(x))
        return upstream * (gate + x * density)

    return x * gate, gradient


_SCALE = math.sqrt(2.0 / math.pi)


def _inner(x):
    return x * (_SCALE + (0.044715 * _SCALE) * ops.square(x))


@ops.custom_gradient
def _trained_tanh(x):
    return _gated(x, 0.5 + 0.5 * ops.tanh(_inner(x)))


@ops.custom_gradient
def _trained_exp(x):
    """The same gate, whose small values are exact; XLA's tanh is not where it is nearly -1."""
    return _gated(x, 1.0 / (1.0 + ops.exp(-2.0 * _inner(x))))


def _gated(x, gate):
    def gradient(*inputs, upstream=None):
        upstream = inputs[-1] if upstream is None else upstream
        slope = 2.0 * _SCALE + (6.0 * 0.044715 * _SCALE) * ops.square(x)
        return upstream * (gate * (1.0 + x * ((1.0 - gate) * slope)))

    return x * gate, gradient
