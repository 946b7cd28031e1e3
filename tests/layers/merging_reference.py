"""Token merging written out in loops over float64 arrays, one image at a time; knows no Keras.

Follows arXiv 2210.09461, section 3 and appendix D, and arXiv 2010.11929, appendix A.
"""

import math

import numpy as np


def matching(keys, count, prefix):
    """Returns pairs (source, target) of positions, the most alike first.

    Even positions are sources, odd ones targets, prefix positions neither.
    """
    tokens = len(keys)
    unit = [key / math.sqrt((key * key).sum()) for key in keys]
    sources = [position for position in range(prefix, tokens) if position % 2 == 0]
    targets = [position for position in range(prefix, tokens) if position % 2 == 1]
    edges = []
    for source in sources:
        best, partner = -math.inf, None
        for target in targets:
            similarity = float(unit[source] @ unit[target])
            if similarity > best:
                best, partner = similarity, target
        edges.append((source, partner, best))
    edges.sort(key=lambda edge: -edge[2])  # stable: of equals the lower position stays in front
    count = min(count, (tokens - prefix) // 2)
    return [(source, target) for source, target, _ in edges[:count]]


def merge(tokens, sizes, pairs, prefix):
    """Returns merged tokens, their sizes, and the new position of every old one."""
    length = len(tokens)
    gone = {source for source, _ in pairs}
    order = list(range(prefix))
    order += [p for p in range(prefix, length) if p % 2 == 0 and p not in gone]
    order += [p for p in range(prefix, length) if p % 2 == 1]
    new = {old: position for position, old in enumerate(order)}
    sums = [tokens[old] * sizes[old] for old in order]
    counts = [int(sizes[old]) for old in order]
    places = dict(new)
    for source, target in pairs:
        position = new[target]
        sums[position] = sums[position] + tokens[source] * sizes[source]
        counts[position] += int(sizes[source])
        places[source] = position
    merged = [total / count for total, count in zip(sums, counts, strict=True)]
    return np.array(merged), np.array(counts), np.array([places[p] for p in range(length)])


def layer_norm(x, gamma, beta, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * gamma + beta


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(query, keys, values, sizes):
    """One head: each key counts as often as its size says."""
    scores = query @ keys.T / math.sqrt(query.shape[-1])
    weights = softmax(scores + np.log(sizes)[None])
    return weights @ values, weights


def block(tokens, sizes, places, weights, *, heads, count, prefix, epsilon=1e-6):
    """A pre-norm block with GELU (tanh) that merges between attention and MLP.

    `weights` are arrays by their path inside the block. `places` tell where each token of the full
    sequence is. Returns tokens, sizes, places and the attention (heads, tokens, tokens).
    """
    width = tokens.shape[-1]
    size = width // heads
    x = layer_norm(tokens, weights["attention_norm/gamma"], weights["attention_norm/beta"], epsilon)
    qkv = x @ weights["attention/qkv/kernel"] + weights["attention/qkv/bias"]
    query, keys, values = np.split(qkv, 3, axis=-1)
    mixed, maps, mean_keys = [], [], np.zeros((len(tokens), size))
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        output, map_ = attention(query[:, part], keys[:, part], values[:, part], sizes)
        mixed.append(output)
        maps.append(map_)
        mean_keys += keys[:, part] / heads
    x = np.concatenate(mixed, axis=-1) @ weights["attention/output/kernel"]
    tokens = tokens + x + weights["attention/output/bias"]
    pairs = matching(mean_keys, count, prefix)
    tokens, sizes, moved = merge(tokens, sizes, pairs, prefix)
    places = np.array([moved[place] for place in places])
    x = layer_norm(tokens, weights["mlp_norm/gamma"], weights["mlp_norm/beta"], epsilon)
    x = gelu_tanh(x @ weights["mlp/hidden/kernel"] + weights["mlp/hidden/bias"])
    tokens = tokens + x @ weights["mlp/output/kernel"] + weights["mlp/output/bias"]
    return tokens, sizes, places, np.array(maps)


def block_weights(layer):
    """Float64 arrays by their path inside a block."""
    return {
        variable.path.partition(f"{layer.name}/")[2]: np.asarray(variable, np.float64)
        for variable in layer.trainable_variables
    }
