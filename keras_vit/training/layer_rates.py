"""Which layers learn, and at what share of the learning rate."""

from __future__ import annotations

import keras

EMBEDDING = ("stem", "patches", "patch_encoder", "pre_norm")
_BLOCK = "encoder_block_"


def layer_decay(model: keras.Model, decay: float) -> dict[str, float]:
    """Returns the factor of the learning rate of each layer below the top.

    The last norm, the pooling and the head learn at the full rate, the last block at `decay` times
    that, each block below at `decay` times the block above, and the embedding below all blocks.

    Args:
        model: a `keras_vit.VisionTransformer`.
        decay: share that is left from a layer to the one below, in (0, 1].

    Returns:
        Factors by layer name, for `compile(learning_rate_scales=...)`.

    Reference: BEiT (arXiv 2106.08254), section 3.1; ELECTRA (arXiv 2003.10555), appendix.
    """
    depth = _depth(model)
    embedding = [layer.name for layer in model.layers if layer.name in EMBEDDING]
    factors = dict.fromkeys(embedding, decay ** (depth + 1))
    return factors | {f"{_BLOCK}{index}": decay ** (depth - index) for index in range(depth)}


def freeze(model: keras.Model, num_blocks: int) -> None:
    """Keeps the embedding and the first blocks from training; call it before `compile`.

    Args:
        model: a `keras_vit.VisionTransformer`; changed in place.
        num_blocks: 0 freezes nothing, n the embedding and blocks 0 to n - 1.

    Raises:
        ValueError: the model has fewer blocks.
    """
    depth = _depth(model)
    if num_blocks > depth:
        raise ValueError(
            f"Expected at most {depth} frozen blocks, as {model.name!r} has. "
            f"Received: {num_blocks}."
        )
    frozen = [*EMBEDDING, *(f"{_BLOCK}{index}" for index in range(num_blocks))]
    for layer in model.layers:
        if num_blocks and layer.name in frozen:
            layer.trainable = False


def _depth(model: keras.Model) -> int:
    depth = sum(layer.name.startswith(_BLOCK) for layer in model.layers)
    if not depth:
        raise ValueError(
            "Expected a Vision Transformer, whose blocks can be told apart. "
            f"Received: {type(model).__name__} {model.name!r}."
        )
    return depth
