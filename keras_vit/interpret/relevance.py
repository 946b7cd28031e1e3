"""A model, images and classes -> which patches speak for the class.

Rollout asks what reaches the output; this asks what of it raises the score of one class. The blocks
are walked forward once, keeping only their input tokens, and then backward one at a time, so one
attention map and its gradient are held at once. What merged tokens are given is handed back to what
they were made of, by size.

Reference: Chefer, Gur and Wolf, "Transformer Interpretability Beyond Attention Visualization"
(CVPR 2021), and "Generic Attention-model Explainability" (arXiv 2103.15679), equations 5 and 6,
whose rule this is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vit.interpret.gradients import pull_back
from keras_vit.interpret.merged import (
    full_tokens,
    gather_full,
    observe_block,
    run_block,
    split_row,
)
from keras_vit.interpret.observe import batches, check_images, grid_of, to_array
from keras_vit.layers.attention import split_heads
from keras_vit.layers.token_state import TokenState
from keras_vit.models.config import config_of
from keras_vit.models.poolings import POOLINGS


def _mix(weights: Any, values: Any, num_heads: int) -> Any:
    """Mixes values (batch, keys, hidden) with weights (batch, heads, queries, keys)."""
    _, keys, hidden = ops.shape(values)
    values = split_heads(values, keys, num_heads, hidden // num_heads)
    mixed = ops.einsum("bhqk,bkhd->bqhd", weights, values)
    return ops.reshape(mixed, (-1, ops.shape(weights)[2], hidden))


def block_with_offset(
    block: Any, tokens: Any, offset: Any, state: dict[str, Any] | None = None
) -> Any:
    """Runs a block with something added to its attention weights.

    Args:
        block: a `TransformerBlock`.
        tokens: (batch, tokens, hidden).
        offset: (batch, heads, tokens, tokens); at zero the result is that of the block, and the
            gradient there is the gradient of the attention weights.
        state: what the block takes beside them.

    Returns:
        (batch, tokens, hidden); fewer tokens where the block merges some.
    """
    attention = block.attention
    normed = block.attention_norm(tokens)
    _, weights, keys = attention(
        normed, state, training=False, return_attention=True, return_keys=True
    )
    values = ops.split(attention.qkv(normed), 3, axis=-1)[2]
    x = _mix(weights + offset, values, attention.num_heads)
    x = attention.output_dense(attention.output_norm(x) if attention.inner_norm else x)
    if block.attention_scale is not None:
        x = block.attention_scale(x)
    tokens = tokens + x
    if block.token_merging:
        tokens, _ = block.merge(tokens, state, keys)
    x = block.mlp(block.mlp_norm(tokens), training=False)
    return tokens + (x if block.mlp_scale is None else block.mlp_scale(x))


def pooling_with_offset(pooling: Any, tokens: Any, offset: Any) -> Any:
    """Runs attention pooling with something added to the probe's attention weights.

    Args:
        pooling: an `AttentionPooling`.
        tokens: (batch, tokens, hidden).
        offset: (batch, heads, 1, tokens), as for `block_with_offset`.

    Returns:
        (batch, hidden).
    """
    attention = pooling.attention
    _, weights = pooling(tokens, training=False, return_attention=True)
    values = ops.split(attention.key_value(tokens), 2, axis=-1)[1]
    x = attention.output_dense(_mix(weights + offset, values, attention.num_heads))
    return (x + pooling.mlp(pooling.mlp_norm(x), training=False))[:, 0]


def _positive_mean(attention: Any, gradient: Any) -> np.ndarray:
    """Mean over the heads of what is positive in gradient times attention."""
    return np.maximum(to_array(gradient) * to_array(attention), 0).mean(axis=1)


def _unit_sum(row: np.ndarray) -> np.ndarray:
    """Rows divided by their sum; rows of zeros stay."""
    total = row.sum(axis=-1, keepdims=True)
    return np.divide(row, total, out=np.zeros_like(row), where=total > 0)


def _start(model: Any, tokens: Any, classes: np.ndarray | None) -> tuple[np.ndarray, Any]:
    """Relevance of the final tokens, and the gradient of the score behind the last block.

    Returns:
        (batch, tokens) float32 with rows of sum one, and (batch, tokens, hidden).
    """
    config, parts = model.config, model.parts
    pooling = POOLINGS[config.pooling]

    def answer(pooled):
        return parts.head(parts.project(pooled))

    def one_hot(logits):
        chosen = ops.argmax(logits, axis=-1) if classes is None else classes
        return ops.cast(ops.one_hot(chosen, config.num_classes), logits.dtype)

    batch, length = tokens.shape[:2]
    read = parts.finish(tokens)
    if pooling.attends:
        offset = ops.zeros((batch, parts.pooling.num_heads, 1, length), tokens.dtype)

        def score(tokens, offset):
            return answer(pooling_with_offset(parts.pooling, parts.finish(tokens), offset))

        _, (gradient, of_weights) = pull_back(score, [tokens, offset], one_hot)
        _, weights = parts.pooling(read, training=False, return_attention=True)
        return _unit_sum(_positive_mean(weights, of_weights)[:, 0]), gradient

    _, (gradient,) = pull_back(
        lambda tokens: answer(parts.pooling(parts.finish(tokens))), [tokens], one_hot
    )
    if not pooling.patches:
        row = np.zeros((batch, length), np.float32)
        row[:, : pooling.tokens] = 1
        return _unit_sum(row), gradient
    _, (at_pooling,) = pull_back(lambda read: answer(parts.pooling(read)), [read], one_hot)
    contribution = np.maximum((to_array(read) * to_array(at_pooling)).sum(axis=-1), 0)
    return _unit_sum(contribution), gradient


def _relevance(
    model: Any, images: np.ndarray, classes: np.ndarray | None, normalize: bool
) -> np.ndarray:
    """(batch, tokens): relevance of the tokens that enter the first block."""
    after = TokenState.of(model.embed(images))
    entering = []
    for block in model.blocks:
        entering.append(after)
        after = run_block(block, after)
    row, gradient = _start(model, full_tokens(after), classes)
    row, gradient = gather_full(row[:, :, None], after)[:, :, 0], gather_full(gradient, after)
    for block in reversed(model.blocks):
        before = entering.pop()
        tokens, state = before
        batch, length = tokens.shape[:2]
        offset = ops.zeros((batch, block.num_heads, length, length), tokens.dtype)
        _, (gradient, of_weights) = pull_back(
            lambda tokens, offset, block=block, state=state: block_with_offset(
                block, tokens, offset, state
            ),
            [tokens, offset],
            lambda _, given=gradient: given,
        )
        _, weights = observe_block(block, before)
        row, after = split_row(row, before, after), before
        # The gradient of a merged token is that of all its copies; each has its part of the row.
        each = row if before.sizes is None else row / to_array(before.sizes)
        mixed = _positive_mean(weights, of_weights)
        if normalize:
            total = 1 + mixed.sum(axis=-1)
            row, each = row / total, each / total
        row = row + (each[:, None] @ mixed)[:, 0]
    return row


def class_relevance(
    model: Any,
    images: Any,
    classes: int | Sequence[int] | None = None,
    *,
    normalize: bool = False,
    batch_size: int = 8,
) -> np.ndarray:
    """Shows which patches speak for a class.

    With A the attention of a block and G its gradient for the class's logit, the row r of the
    output token becomes r + r mean_heads(max(G * A, 0)), from the last block to the first. r starts
    at the class token (and, half each, the distillation token); with attention pooling at the
    probe's own max(G * A, 0); with any other pooling at each pooled token's share of the logit
    (features times gradient, where positive).

    Args:
        model: a `keras_vit.VisionTransformer` with a head.
        images: prepared images, (batch, height, width, channels).
        classes: the class, one for all images or one each, as a column of the logits; None is the
            predicted class of each image.
        normalize: whether the rows of I + mean_heads(max(G * A, 0)) are divided by their sum, as
            rollout does with its own: "gradient rollout".
        batch_size: images at a time; bounds the memory.

    Returns:
        (batch, grid rows, grid columns) float32, at least 0, not rescaled. All zero where nothing
        speaks for the class, as with a head that was never trained.

    Raises:
        ValueError: a model without classes, images that it does not take, or an unknown class.
        NotImplementedError: a Keras backend without gradients.

    Reference: arXiv 2103.15679, equations 5 and 6; the paper's rule for the class token is
    extended to other poolings as said above.
    """
    config = config_of(model)
    if not config.num_classes:
        raise ValueError(
            "Expected a model with classes, since relevance asks what speaks for one of them. "
            "Received: a model without a head (num_classes=0). `attention_rollout` needs none."
        )
    images = check_images(model, images)
    if classes is not None:
        classes = np.asarray(classes)
        if (
            classes.shape not in ((), (len(images),))
            or classes.dtype.kind not in "iu"
            or (not ((0 <= classes) & (classes < config.num_classes)).all())
        ):
            raise ValueError(
                f"Expected `classes` to be one number from 0 to {config.num_classes - 1}, or one "
                f"for each of {len(images)} images. Received: {classes.tolist()!r}."
            )
        classes = np.broadcast_to(classes, len(images)).astype("int32")
    grid = grid_of(model, images)
    rows, start = [], 0
    for piece in batches(images, batch_size):
        chosen = None if classes is None else classes[start : start + len(piece)]
        row = _relevance(model, piece, chosen, normalize)[:, config.num_prefix_tokens :]
        rows.append(row.reshape(len(piece), *grid))
        start += len(piece)
    return np.concatenate(rows)
