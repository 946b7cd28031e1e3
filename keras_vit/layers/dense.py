"""The matrices of a block, which take a low-rank adapter (LoRA)."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

_ADAPTER = ("lora_kernel_a", "lora_kernel_b")
_VALUES_FOLLOW = contextvars.ContextVar("values_follow", default=False)


@contextlib.contextmanager
def values_follow() -> Iterator[None]:
    """Within it, the matrices of new layers begin at zero, and nothing is drawn for them.

    For a model whose weights are all set before anyone sees it: drawing them is most of the time
    that building takes.
    """
    token = _VALUES_FOLLOW.set(True)
    try:
        yield
    finally:
        _VALUES_FOLLOW.reset(token)


@keras.saving.register_keras_serializable(package="keras_vit")
class Dense(keras.layers.Dense):
    """Keras's dense layer, without activation, whose adapter stays apart from its kernel.

    Different from Keras's, where an adapter is on:

    - `x W + alpha / rank (x A) B` is computed as written, so that no gradient of the kernel is made
      on the way to those of A and B.
    - Kernel and bias stay as they are; `trainable` acts on A and B.
    - A saved file holds A and B beside the kernel, not added to it.

    Reference: "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), section 4.1.
    """

    def add_weight(self, *args, initializer: Any = None, **kwargs) -> Any:
        initializer = "zeros" if _VALUES_FOLLOW.get() else initializer
        return super().add_weight(*args, initializer=initializer, **kwargs)

    @property
    def trainable(self) -> bool:
        """Whether the layer is trained; with an adapter, whether the adapter is."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._set_trainable(value)

    def _set_trainable(self, value: bool) -> None:
        keras.layers.Dense.trainable.fset(self, value)
        if getattr(self, "lora_enabled", False):
            adapter = {id(getattr(self, name)) for name in _ADAPTER}
            for weight in self.weights:
                if id(weight) not in adapter:
                    weight.trainable = False

    def enable_lora(self, rank: int, lora_alpha: float | None = None, **kwargs) -> None:
        """Adds an adapter that changes nothing yet, since its B is zero.

        Args:
            rank: columns of A, rows of B.
            lora_alpha: what A and B add counts `lora_alpha / rank`; None is the rank.
            **kwargs: `a_initializer` and `b_initializer`. A is drawn as PEFT draws it, uniformly
                within `1 / sqrt(columns of the input)`.
        """
        drawn = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        super().enable_lora(rank, lora_alpha, **{"a_initializer": drawn, **kwargs})
        self._set_trainable(self.trainable)  # TensorFlow sets no attribute to what it is

    def remove_lora(self) -> None:
        """Takes the adapter away; the layer computes what it did before it had one."""
        for name in _ADAPTER:
            self._untrack_variable(getattr(self, name))
            super(keras.layers.Layer, self).__delattr__(name)  # Layer's collects garbage each time
        self.lora_enabled, self.lora_rank, self.lora_alpha = False, None, None
        self._set_trainable(self.trainable)  # TensorFlow sets no attribute to what it is

    @property
    def merged_kernel(self) -> Any:
        """The kernel with what the adapter adds; Keras's `kernel` has the dtype of computation."""
        added = ops.matmul(self.lora_kernel_a, self.lora_kernel_b)
        return ops.add(self._kernel, ops.multiply(added, self.lora_alpha / self.lora_rank))

    def merge_lora(self) -> None:
        """Adds the adapter to the kernel, a quantised one rounded anew, and takes it away."""
        if self.quantization_mode is None:
            self._kernel.assign(self.merged_kernel)
        else:
            kernel, scale, zero = self._get_kernel_with_merged_lora()
            self._kernel.assign(kernel)
            self.kernel_scale.assign(scale)
            if zero is not None:
                self.kernel_zero.assign(zero)
        self.remove_lora()

    def call(self, inputs, training=None):
        if not self.lora_enabled:
            return super().call(inputs, training=training)
        x = ops.matmul(inputs, self._kernel)
        x = x if self.bias is None else ops.add(x, self.bias)
        added = ops.matmul(ops.matmul(inputs, self.lora_kernel_a), self.lora_kernel_b)
        return ops.add(x, ops.multiply(added, self.lora_alpha / self.lora_rank))

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None):
        # Keras refuses subclasses, which may compute something else.
        super().quantize(mode, type_check=False, config=config)

    def save_own_variables(self, store):
        if not self.lora_enabled:
            super().save_own_variables(store)
            return
        self.lora_enabled = False  # Keras would add the adapter to the kernel
        try:
            super().save_own_variables(store)
        finally:
            self.lora_enabled = True
        for name in _ADAPTER:
            store[name] = getattr(self, name)

    def load_own_variables(self, store):
        if not self.lora_enabled:
            super().load_own_variables(store)
            return
        kept = np.array(ops.convert_to_numpy(self.lora_kernel_a))
        super().load_own_variables(store)  # sets A and B to zero, from where nothing is learned
        self.lora_kernel_a.assign(kept)
        if _ADAPTER[0] in store:
            for name in _ADAPTER:
                getattr(self, name).assign(store[name])
