"""Similar tokens become one, so that later blocks have fewer to work on.

In each block the patch tokens are dealt into two sets in turn. Every token of the first set, the
sources, finds its most similar token in the second; the pairs that are most alike merge. A merged
token is the average of its parts, weighted by the patches that each of them already holds.

Nothing is learned here: models with and without merging have the same weights.

Reference: Bolya et al., "Token Merging: Your ViT But Faster" (arXiv 2210.09461), section 3 and
appendix D.
"""

from typing import Any, NamedTuple

import keras
from keras import ops


class Matching(NamedTuple):
    """Which of the tokens of a sequence merge.

    Attributes:
        kept: `(batch, tokens - merged)` positions of the tokens that stay, in their new order:
            prefix tokens, sources that do not merge, then the second set.
        sources: `(batch, merged)` positions of the tokens that merge into others, the most alike
            first.
        targets: `(batch, merged)` the new positions of the tokens that they merge into.
        places: `(batch, tokens)` the new position of every token.
    """

    kept: Any
    sources: Any
    targets: Any
    places: Any


def number_merged(count: int, num_tokens: Any, num_prefix_tokens: int) -> Any:
    """Returns how many tokens a block merges: at most half of the patch tokens.

    Returns:
        An integer where `num_tokens` is one, else a scalar tensor.

    Reference: arXiv 2210.09461, section 3.
    """
    most = (num_tokens - num_prefix_tokens) // 2
    return min(count, most) if isinstance(most, int) else ops.minimum(count, most)


def take_tokens(tokens: Any, positions: Any) -> Any:
    """Picks tokens of each sequence of a batch by position.

    Args:
        tokens: `(batch, tokens)` or `(batch, tokens, width)`.
        positions: `(batch, picked)` integers.

    Returns:
        `(batch, picked)` or `(batch, picked, width)`.
    """
    shape = ops.shape(tokens)
    # `expand_dims`, since LiteRT takes no index with None on axes of unknown length.
    starts = ops.expand_dims(ops.arange(shape[0], dtype="int32"), 1) * shape[1]
    flat = ops.reshape(tokens, (-1, *shape[2:]))
    # Whole rows of one long sequence: `take_along_axis` would index every number by itself.
    return ops.take(flat, positions + starts, axis=0)


def match_tokens(keys: Any, count: Any, num_prefix_tokens: int = 0) -> Matching:
    """Decides which tokens merge: bipartite soft matching.

    Tokens at even positions are sources, those at odd positions are merged into; prefix tokens are
    neither. Of equal similarities the token with the lower position counts first.

    Args:
        keys: `(batch, tokens, width)`, what the tokens are compared by (cosine similarity). No
            gradient goes through them.
        count: tokens to merge, at most what `number_merged` allows.
        num_prefix_tokens: leading tokens that never merge.

    Returns:
        The `Matching`, of int32 arrays.

    Reference: arXiv 2210.09461, section 3, "Bipartite Soft Matching", and appendix D.
    """
    prefix, num_tokens = num_prefix_tokens, ops.shape(keys)[1]
    first, second = prefix + prefix % 2, prefix + 1 - prefix % 2
    keys = ops.stop_gradient(ops.cast(keys, "float32"))
    squares = ops.sum(ops.square(keys), axis=-1, keepdims=True)
    keys = keys * ops.rsqrt(ops.maximum(squares, 1e-24))
    scores = ops.matmul(keys[:, first::2], ops.transpose(keys[:, second::2], (0, 2, 1)))
    if not isinstance(num_tokens, int):  # a sequence of one patch leaves the second set empty
        scores = ops.pad(scores, ((0, 0), (0, 0), (0, 1)), constant_values=-2.0)
    num_sources = (num_tokens - first + 1) // 2
    # One operation for both; `argmax` of Keras on TensorFlow uses some that no converter takes.
    best, partners = (x[:, :, 0] for x in ops.top_k(scores, 1))
    partners = ops.cast(partners, "int32")
    order = ops.cast(ops.top_k(best, num_sources)[1], "int32")
    merging, staying = order[:, :count], ops.sort(order[:, count:], axis=-1)

    index = ops.arange(num_tokens, dtype="int32")
    # Gives the batch to what is the same in all of it.
    every = ops.zeros_like(keys[:, :1, 0], dtype="int32")
    led = every + index[:prefix]
    kept = ops.concatenate([led, first + 2 * staying, every + index[second::2]], axis=1)
    moved = prefix + num_sources - count  # where the second set begins now
    targets = moved + take_tokens(partners, merging)

    leaves = ops.any(ops.equal(ops.expand_dims(merging, 2), index[:num_sources]), axis=1)
    rank = ops.cumsum(1 - ops.cast(leaves, "int32"), axis=1) - 1
    of_sources = ops.where(leaves, moved + partners, prefix + rank)
    of_others = every + moved + index[: num_tokens - prefix - num_sources]
    # Position p is entry dealt[p] of prefix tokens, sources, second set.
    is_source = (index - first) % 2 == 0
    half = (index - prefix) // 2
    dealt = ops.where(is_source, prefix + half, prefix + num_sources + half)
    dealt = ops.where(index < prefix, index, dealt)
    places = ops.take(ops.concatenate([led, of_sources, of_others], axis=1), dealt, axis=1)
    return Matching(kept, first + 2 * merging, targets, places)


def merge_tokens(tokens: Any, sizes: Any, matching: Matching) -> tuple[Any, Any]:
    """Merges tokens: each becomes the average of its parts, weighted by their sizes.

    Args:
        tokens: `(batch, tokens, hidden_size)`.
        sizes: `(batch, tokens)` integers, how many tokens of the full sequence each one holds.
        matching: what merges.

    Returns:
        The tokens `(batch, tokens - merged, hidden_size)`, and their sizes as integers. What does
        not take part comes out unchanged.

    Reference: arXiv 2210.09461, section 3, "Tracking Token Size".
    """
    dtype = tokens.dtype
    length = ops.shape(matching.kept)[1]
    full = ops.cast(sizes, "float32")
    kept_sizes = take_tokens(full, matching.kept)
    arriving = ops.one_hot(matching.targets, length, dtype="float32")
    arriving = arriving * ops.expand_dims(take_tokens(full, matching.sources), 2)
    merged_sizes = kept_sizes + ops.sum(arriving, axis=1)
    kept = ops.cast(take_tokens(tokens, matching.kept), "float32")
    sources = ops.cast(take_tokens(tokens, matching.sources), "float32")
    merged = kept * ops.expand_dims(kept_sizes / merged_sizes, 2)
    parts = arriving / ops.expand_dims(merged_sizes, 1)
    merged = merged + ops.matmul(ops.transpose(parts, (0, 2, 1)), sources)
    return ops.cast(merged, dtype), ops.cast(merged_sizes, "int32")


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenUnmerging(keras.layers.Layer):
    """Puts a copy of each merged token back to every place that it came from.

    Input: merged tokens `(batch, tokens, hidden_size)` and `(batch, all tokens)` integers: where
    each token of the full sequence is now. Output: `(batch, all tokens, hidden_size)`. What pools
    all of these (mean, maximum, attention) counts each merged token by its size.

    Reference: arXiv 2210.09461, section 3.
    """

    def build(self, tokens_shape):
        self.built = True

    def call(self, tokens, places):
        return take_tokens(tokens, places)

    def compute_output_spec(self, tokens, places):
        shape = (tokens.shape[0], places.shape[1], tokens.shape[2])
        return keras.KerasTensor(shape, self.compute_dtype)
