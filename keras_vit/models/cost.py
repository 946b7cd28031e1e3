"""The arithmetic of a model, counted from its config."""

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.poolings import POOLINGS


def forward_flops(config: VisionTransformerConfig) -> int:
    """Counts the floating-point operations of the matrix products for one image.

    A product of (a, b) and (b, c) counts 2 a b c. Norms, softmax, non-linearities and the ResNet of
    a hybrid are left out; a training step costs about three times as much.
    """
    rows, columns = config.grid_size
    patches, tokens, width = rows * columns, config.num_tokens, config.hidden_size
    channels = config.hybrid.num_channels if config.hybrid else config.in_channels
    embedding = patches * config.patch_size**2 * channels * width
    blocks, length = 0, tokens
    for count in config.merged_per_block:
        products, length = _block_products(config, length, count)
        blocks += products
    pooling = POOLINGS[config.pooling]
    features, head = width * pooling.width, pooling.count_products(config)
    for size in (config.pre_logits_size, config.projection_size, config.num_classes):
        if size:
            head += features * size
            features = size
    return 2 * (embedding + blocks + head)


def _block_products(config: VisionTransformerConfig, tokens: int, count: int) -> tuple[int, int]:
    """Returns the multiplications of a block that merges up to `count` tokens, and what it leaves.

    Merging compares the heads' mean keys of one half of the patches with those of the other, and
    adds what merges with a matrix.
    """
    width, prefix = config.hidden_size, config.num_prefix_tokens
    hidden = config.mlp_dim * (2 if config.mlp == "swiglu" else 1)
    products = tokens * width * 4 * width + 2 * tokens * tokens * width
    merged = min(count, (tokens - prefix) // 2)
    if merged:
        sources = (tokens - prefix + 1 - prefix % 2) // 2
        products += sources * (tokens - prefix - sources) * (width // config.num_heads)
        products += (tokens - merged) * merged * width
    tokens -= merged
    return products + tokens * width * (hidden + config.mlp_dim), tokens
