"""float32 or mixed_bfloat16: what is faster on this machine, as a short measurement says."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vit.files import read_json, write_json
from keras_vit.layers import TransformerBlock
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import get_variant

PLAIN, HALF = "float32", "mixed_bfloat16"
_WORTH = 1.1  # times as fast, from which on fewer digits are taken
_BATCH, _ROUNDS = 8, 5
_UNKNOWN = "ViT_S16"  # measured for a checkpoint, of which only loading tells the sizes


@dataclasses.dataclass(frozen=True)
class DtypeChoice:
    """What layers compute in, and why.

    Attributes:
        dtype: name of a dtype policy.
        why: the reason, in words.
    """

    dtype: str
    why: str


def choose_dtype(
    config: VisionTransformerConfig | None = None, *, train: bool = True
) -> DtypeChoice:
    """Times one block of a model in float32 and in mixed_bfloat16, in turn.

    Args:
        config: of the model; None is ViT-S/16.
        train: whether the gradient is part of what is timed.

    Returns:
        `"mixed_bfloat16"` where it is at least 1.1 times as fast, else `"float32"`.
    """
    config = config or get_variant(_UNKNOWN)
    runs = {dtype: _block_step(config, dtype, train) for dtype in (PLAIN, HALF)}
    seconds: dict[str, list[float]] = {dtype: [] for dtype in runs}
    for _ in range(_ROUNDS + 1):
        for dtype, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[dtype].append(time.perf_counter() - start)
    plain, half = (statistics.median(seconds[dtype][1:]) for dtype in (PLAIN, HALF))
    why = f"a block takes {1000 * half:.3g} ms in {HALF}, {1000 * plain:.3g} in {PLAIN}"
    return DtypeChoice(HALF if plain >= _WORTH * half else PLAIN, why)


def chosen_before(
    folder: Path, choose: Callable[[], DtypeChoice], *, resume: bool = True
) -> DtypeChoice:
    """Returns the choice that a run began with; a new one is written to its folder.

    Args:
        folder: of the run; made if needed.
        choose: makes a new choice.
        resume: whether an earlier choice holds.
    """
    file = folder / "dtype.json"
    if resume and file.exists():
        return DtypeChoice(**read_json(file))
    choice = choose()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, dataclasses.asdict(choice))
    return choice


def _block_step(config: VisionTransformerConfig, dtype: str, train: bool) -> Callable[[], Any]:
    """Returns what runs one block of a config on noise, and waits for it."""
    block = TransformerBlock(
        config.num_heads, config.mlp_dim, gelu=config.gelu or "tanh", dtype=dtype
    )
    shape = (_BATCH, config.num_tokens, config.hidden_size)
    tokens = tf.constant(np.random.default_rng(0).normal(size=shape), block.compute_dtype)
    block.build(shape)

    @tf.function(autograph=False)
    def step():
        if not train:
            return block(tokens, training=False)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(block(tokens, training=True), tf.float32) ** 2)
        return tape.gradient(loss, [weight.value for weight in block.trainable_weights])

    return lambda: [keras.ops.convert_to_numpy(part) for part in tf.nest.flatten(step())]
