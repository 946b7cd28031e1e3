"""Low-rank adapters (LoRA) on the matrices of a model's blocks: given, merged and taken away."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_int, check_number
from keras_vit.layers.dense import Dense
from keras_vit.layers.inner_state import inner_layers

# The matrices of a block by what a user calls them, as canonical names have them.
TARGETS = {
    "qkv": ("attention/qkv",),
    "output": ("attention/output",),
    "mlp": ("mlp/hidden", "mlp/output"),
}
DEFAULT_TARGETS = ("qkv", "output")


@dataclasses.dataclass(frozen=True)
class Adapter:
    """What is added to a kernel `(inputs, outputs)`: `alpha / rank` times the product of two.

    Attributes:
        a: `(inputs, rank)`.
        b: `(rank, outputs)`.
        alpha: the factor of the product, times the rank.
    """

    a: np.ndarray
    b: np.ndarray
    alpha: float

    @property
    def rank(self) -> int:
        """Columns of `a`, rows of `b`."""
        return self.a.shape[1]


class Adaptable:
    """What a Vision Transformer does with adapters; it has `blocks`, `parts` and `freeze`."""

    @property
    def adapters(self) -> dict[str, Adapter]:
        """The adapters by the layer that they are on, such as `"encoder_block_0/attention/qkv"`."""
        numpy = keras.ops.convert_to_numpy
        return {
            name: Adapter(numpy(layer.lora_kernel_a), numpy(layer.lora_kernel_b), layer.lora_alpha)
            for name, layer in adapted_layers(self).items()
        }

    def enable_lora(
        self,
        rank: int,
        targets: str | Sequence[str] = DEFAULT_TARGETS,
        alpha: float | None = None,
    ) -> None:
        """Puts adapters on all blocks and leaves only these and the head to train.

        The outputs stay as they are until something is learned. Call it before `compile`.

        Args:
            rank: of the matrix that is added to a kernel, at least 1; at most a few dozen.
            targets: which kernels: `"qkv"` and `"output"` of the attention, `"mlp"` for both of the
                MLP. A text has commas between them.
            alpha: what is added counts `alpha / rank`; None is the rank.

        Raises:
            ValueError: other targets, a rank or alpha out of its range, quantised to float8, or a
                model that has other adapters.

        Reference: "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).
        """
        check_int("rank", rank, 1)
        if alpha is not None:
            check_number("alpha", alpha, "(0, inf)")
        targets = targets.split(",") if isinstance(targets, str) else targets
        targets = [target.strip() for target in targets]
        if not targets or not set(targets) <= TARGETS.keys():
            raise ValueError(f"Expected `targets` of {tuple(TARGETS)}. Received: {targets}.")
        places = {place for target in targets for place in TARGETS[target]}
        chosen = {
            name: (rank, rank if alpha is None else alpha)
            for name in adaptable_layers(self)
            if name.partition("/")[2] in places
        }
        adapted = adapted_layers(self).items()
        present = {name: (layer.lora_rank, layer.lora_alpha) for name, layer in adapted}
        if present and present != chosen:
            raise ValueError(
                "Expected a model without adapters. Received: one with others. Call "
                "`merge_lora()` or `remove_lora()` first."
            )
        self._lay(chosen)

    def set_adapters(self, adapters: Mapping[str, Adapter]) -> None:
        """Puts adapters on the model in the place of those that it has, and freezes the rest.

        Args:
            adapters: by layer, as `adapters` has them; of shapes that fit.
        """
        self._lay({name: (one.rank, one.alpha) for name, one in adapters.items()})
        layers = adaptable_layers(self)
        for name, one in adapters.items():
            layers[name].lora_kernel_a.assign(one.a)
            layers[name].lora_kernel_b.assign(one.b)

    def merge_lora(self) -> None:
        """Adds what the adapters learned to the kernels; all of the model trains again.

        The outputs stay as they are, but for rounding.

        Raises:
            ValueError: a model without adapters.
        """
        self._end(Dense.merge_lora)

    def remove_lora(self) -> None:
        """Takes the adapters away; all of the model trains again. The head stays as it is.

        Raises:
            ValueError: a model without adapters.
        """
        self._end(Dense.remove_lora)

    def quantize(self, mode: str | None = None, *args, **kwargs) -> None:
        """Quantises kernels as Keras does.

        Args:
            mode: `"int8"`, `"int4"` or `"float8"`.
            *args: as in `keras.Model.quantize`.
            **kwargs: as in `keras.Model.quantize`.

        Raises:
            ValueError: float8 under adapters, which Keras does not have.
        """
        if mode == "float8" and adapted_layers(self):
            raise ValueError(
                "Expected int8 or int4 under adapters. Received: mode='float8'. Call "
                "`merge_lora()` first."
            )
        super().quantize(mode, *args, **kwargs)

    def _lay(self, wanted: Mapping[str, tuple[int, float]]) -> None:
        """Gives layers adapters of a rank and an alpha, takes others away, freezes the rest."""
        layers, changed = adaptable_layers(self), False
        if any(layer.quantization_mode == "float8" for layer in layers.values()):
            raise ValueError(
                "Expected kernels of float, int8 or int4 under an adapter. Received: float8."
            )
        with _scope(self):
            for name, layer in layers.items():
                rank, alpha = wanted.get(name, (None, None))
                if layer.lora_enabled and (layer.lora_rank, layer.lora_alpha) != (rank, alpha):
                    layer.remove_lora()
                    changed = True
                if rank is not None and not layer.lora_enabled:
                    layer.enable_lora(rank, alpha)
                    changed = True
        self.freeze("backbone")
        for block in self.blocks:
            if _is_adapted(block):
                block.trainable = True
                for _, inner in inner_layers(block):
                    if inner.weights and not _is_adapted(inner):
                        inner.trainable = False
        if changed:
            _forget_functions(self)

    def _end(self, end: Any) -> None:
        adapted = adapted_layers(self)
        if not adapted:
            raise ValueError(
                "Expected a model with adapters, from `enable_lora` or `load_adapter`. "
                "Received: one without."
            )
        for layer in adapted.values():
            end(layer)
        for value in (False, True):  # what is set already is not set again inside
            for layer in self.layers:
                layer.trainable = value
        _forget_functions(self)


def adaptable_layers(model: Any) -> dict[str, Dense]:
    """Returns the layers of a model that can have an adapter, by their canonical name."""
    return {
        f"{block.name}/{place}": layer
        for block in model.blocks
        for place, layer in (
            ("attention/qkv", block.attention.qkv),
            ("attention/output", block.attention.output_dense),
            ("mlp/hidden", block.mlp.hidden),
            ("mlp/output", block.mlp.output_dense),
        )
    }


def adapted_layers(model: Any) -> dict[str, Dense]:
    """Returns those of `adaptable_layers` that have an adapter."""
    return {name: layer for name, layer in adaptable_layers(model).items() if layer.lora_enabled}


def _is_adapted(layer: keras.layers.Layer) -> bool:
    inside = [layer, *(inner for _, inner in inner_layers(layer))]
    return any(getattr(each, "lora_enabled", False) for each in inside)


def _scope(model: Any) -> Any:
    """The scope of the strategy that a model was made under, on TensorFlow."""
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def _forget_functions(model: Any) -> None:
    """Lets what `fit` and `predict` compiled before be compiled anew."""
    model.train_function = model.test_function = model.predict_function = None
