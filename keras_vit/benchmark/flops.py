"""The arithmetic of a model, counted from its config."""

from __future__ import annotations

from keras_vit.configs import VisionTransformerConfig


def forward_flops(config: VisionTransformerConfig) -> int:
    """Counts the floating-point operations of the matrix products for one image.

    A product of (a, b) and (b, c) counts 2 a b c. Norms, softmax, non-linearities and the ResNet of
    a hybrid are left out; a training step costs about three times as much.

    Args:
        config: the architecture, at its `image_size`.

    Returns:
        Operations of one forward pass.
    """
    rows, columns = config.grid_size
    patches, tokens, width = rows * columns, config.num_tokens, config.hidden_size
    channels = config.hybrid.num_channels if config.hybrid else config.in_channels
    embedding = patches * config.patch_size**2 * channels * width
    hidden = config.mlp_dim * (2 if config.mlp == "swiglu" else 1)
    projections = tokens * width * (3 * width + width + hidden + config.mlp_dim)
    attention = 2 * tokens * tokens * width
    features = width * (2 if "+" in config.pooling else 1)
    head = 0
    if config.pooling == "map":
        head += tokens * 2 * width * width + 2 * tokens * width
        head += width * (2 * width + 2 * config.mlp_dim)
    for size in (config.pre_logits_size, config.projection_size, config.num_classes):
        if size:
            head += features * size
            features = size
    return 2 * (embedding + config.num_layers * (projections + attention) + head)
