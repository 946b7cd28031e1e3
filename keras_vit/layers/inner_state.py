"""What is set on the layers inside a layer after it was made: saved in its config, and set again.

A layer that makes its own sublayers names only its arguments in its config. What a user sets on a
sublayer later (`trainable`, a dtype policy, `quantize`, `enable_lora`) would be lost without this;
a functional model of Keras keeps it, since it serialises each of its layers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_vit.layers.configured import ConfiguredLayer


def inner_layers(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields all layers inside a layer but inputs, outer ones first, by where they stand.

    Yields:
        Pairs of a place, such as `"encoder_block_0/1/2"`, and a layer. Layers of a model count by
        name, those inside a layer by their order.
    """
    if isinstance(layer, keras.Model):
        children = [(child.name, child) for child in layer.layers]
    else:  # Keras has no public way to the layers inside a layer
        inside = layer._flatten_layers(include_self=False, recursive=False)
        children = [(str(place), child) for place, child in enumerate(inside)]
    for place, child in children:
        if isinstance(child, keras.layers.InputLayer):
            continue
        yield place, child
        for inner, found in inner_layers(child):
            yield f"{place}/{inner}", found


def get_inner_state(layer: keras.layers.Layer, policies: Mapping[str, str] | None = None) -> dict:
    """Returns what is set on the layers inside a layer, as plain values.

    Args:
        layer: a built layer, or a model.
        policies: names of dtype policies that layers were made with, by place; the policy of
            `layer` for all others.

    Returns:
        For each place with something set a dictionary of `trainable`, `dtype`, `quantization`
        (mode and configuration) and `lora` (rank and alpha).
    """
    states = {}
    # What a model is made with reaches its layers; a layer keeps it to itself.
    trained = {"": layer.trainable if isinstance(layer, keras.Model) else True}
    for place, inner in inner_layers(layer):
        state: dict[str, Any] = {}
        policy, mode = inner.dtype_policy, inner.quantization_mode
        trained[place] = inner.trainable
        if inner.trainable != trained[place.rpartition("/")[0]]:  # setting one sets all inside it
            state["trainable"] = inner.trainable
        if mode is not None:
            config = getattr(inner, "quantization_config", None)
            state["quantization"] = [mode, keras.saving.serialize_keras_object(config)]
        elif policy.name != (policies or {}).get(place, layer.dtype_policy.name):
            state["dtype"] = policy.name
        if getattr(inner, "lora_enabled", False):
            state["lora"] = [inner.lora_rank, inner.lora_alpha]
        if state:
            states[place] = state
    return states


def set_inner_state(layer: keras.layers.Layer, states: Mapping[str, Any]) -> None:
    """Sets what `get_inner_state` returned on the layers inside a layer of the same making.

    Raises:
        ValueError: a place that the layer does not have.
    """
    found = dict(inner_layers(layer))
    unknown = sorted(set(states) - set(found))
    if unknown:
        raise ValueError(f"Expected layers inside {layer.name!r}. Received: {unknown}.")
    for place, state in states.items():
        inner = found[place]
        if "dtype" in state:
            inner.dtype_policy = state["dtype"]
        if "quantization" in state and inner.quantization_mode is None:
            mode, config = state["quantization"]
            config = keras.saving.deserialize_keras_object(config)
            inner.quantize(mode, config=config)
        if "trainable" in state:  # before LoRA, which keeps the kernel from training
            inner.trainable = state["trainable"]
        if "lora" in state and not inner.lora_enabled:
            rank, alpha = state["lora"]
            inner.enable_lora(rank, lora_alpha=alpha)


class CompositeLayer(ConfiguredLayer):
    """A layer with layers inside, whose config keeps what is set on these.

    Args:
        inner_state: what `get_inner_state` returned, set again as the layer is built.
        **kwargs: those of `keras.layers.Layer`.
    """

    def __init__(self, *, inner_state: Mapping[str, Any] | None = None, **kwargs):
        super().__init__(**kwargs)
        self._inner_state = dict(inner_state or {})

    def finish_build(self) -> None:
        """Ends `build`: all layers inside are built."""
        self.built = True
        if self._inner_state:
            set_inner_state(self, self._inner_state)
            self._inner_state = {}

    def get_config(self):
        state = self._inner_state or (get_inner_state(self) if self.built else {})
        return {**super().get_config(), **({"inner_state": state} if state else {})}
