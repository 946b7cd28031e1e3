"""Which parts of a model learn, and at what share of the learning rate."""

import re

import keras

from keras_vit.models.adapters import DEFAULT_TARGETS


def layer_decay(model: keras.Model, decay: float) -> dict[str, float]:
    """Returns the factor of the learning rate of each layer.

    The last norm, the pooling and the head learn at the full rate, the last block at `decay` times
    that, each block below at `decay` times the block above, and the embedding below all blocks.

    Args:
        model: a `keras_vit.VisionTransformer`, or any model with its `parameter_groups`.
        decay: share that is left from a layer to the one below, in (0, 1].

    Returns:
        Factors by layer name, for `compile(learning_rate_scales=...)`.

    Reference: BEiT (arXiv 2106.08254), section 3.1; ELECTRA (arXiv 2003.10555), appendix.
    """
    groups = _checked(model).parameter_groups()
    return {
        layer.name: decay ** (len(groups) - 1 - index)
        for index, group in enumerate(groups)
        for layer in group.layers
        if layer.weights
    }


def freeze(model: keras.Model, parts: str) -> None:
    """Keeps parts of a model from training; call it before `compile`.

    Args:
        model: a `keras_vit.VisionTransformer`; changed in place.
        parts: `"backbone"`, all but the head; `"embedding"`; or `"blocks:0-8"`, blocks 0 to 8, and
            below block 0 the embedding with it.

    Raises:
        ValueError: other parts, or blocks that the model does not have.
    """
    found = re.fullmatch(r"blocks:(\d+)(?:-(\d+))?", parts)
    if found is None:
        _checked(model).freeze(parts)
        return
    first, last = int(found[1]), int(found[2] or found[1])
    embedding = None if first else "embedding"
    _checked(model).freeze(embedding, blocks=range(first, last + 1))


def add_adapters(model: keras.Model, rank: int, alpha: float | None, targets: str | None) -> None:
    """Puts adapters on a model and keeps all else but its head from training.

    Args:
        model: a `keras_vit.VisionTransformer`; changed in place.
        rank: as in `enable_lora`.
        alpha: likewise.
        targets: likewise; None is the default.

    Raises:
        ValueError: as `enable_lora`.
    """
    _checked(model).enable_lora(rank, targets or DEFAULT_TARGETS, alpha)


def _checked(model: keras.Model) -> keras.Model:
    if not hasattr(model, "parameter_groups"):
        raise ValueError(
            "Expected a Vision Transformer, whose blocks can be told apart. "
            f"Received: {type(model).__name__} {model.name!r}."
        )
    return model
