"""The arithmetic of a model, counted from its config or from its graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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
    blocks, length = 0, tokens
    for count in config.merged_per_block:
        products, length = _block_products(config, length, count)
        blocks += products
    features = width * (2 if "+" in config.pooling else 1)
    head = 0
    if config.pooling == "map":
        head += tokens * 2 * width * width + 2 * tokens * width
        head += width * (2 * width + 2 * config.mlp_dim)
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


def count_flops(model: Any, image_size: tuple[int, int] | None = None) -> int:
    """Counts the floating-point operations of any Keras model for one image, from its graph.

    The model is traced as in training, and the products and convolutions of the graph are added up
    by their shapes, two operations for each multiplication and addition. All else is left out, as
    in `forward_flops`. Nothing is run and no weight is changed.

    Args:
        model: a Keras model of one image input `(batch, height, width, channels)`; the backend is
            TensorFlow.
        image_size: (height, width) in pixels for a model that takes any size; None is
            `model.preprocessing.size` for such a model.

    Returns:
        Operations of one forward pass.

    Raises:
        ValueError: several inputs, an unknown size, or a product whose shapes the graph does not
            tell.
    """
    import tensorflow as tf

    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or []]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ValueError(
            "Expected a Keras model of one input (batch, height, width, channels). "
            f"Received: {type(model).__name__} with inputs {shapes}."
        )
    size, channels = shapes[0][1:3], shapes[0][3]
    if None in size:
        size = image_size or model.preprocessing.size
    elif image_size is not None and tuple(image_size) != size:
        raise ValueError(
            f"Expected image_size={size}, as the model takes no other. Received: {image_size}."
        )
    function = tf.function(lambda images: model(images, training=True), autograph=False)
    images = tf.TensorSpec((1, *size, channels), model.inputs[0].dtype)
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # functions inside are spelled out, not called
    try:
        return graph_flops(function.get_concrete_function(images).graph)
    finally:
        tf.config.run_functions_eagerly(eagerly)


def graph_flops(graph: Any) -> int:
    """Adds up the products and convolutions of a TensorFlow graph, those of gradients too.

    Args:
        graph: a `tf.Graph` in which their shapes are known.

    Returns:
        Operations of one run of the graph; two for each multiplication and addition.

    Raises:
        ValueError: a product whose shapes are not known, or one inside a function that the graph
            calls, such as the body of a loop.
    """
    for function in graph.as_graph_def().library.function:
        found = {node.op for node in function.node_def} & _PRODUCTS.keys()
        if found:
            raise ValueError(
                "Expected a graph whose products can be counted. Received: "
                f"{', '.join(sorted(found))} inside the function {function.signature.name!r}."
            )
    total = 0
    for operation in graph.get_operations():
        if operation.type in _PRODUCTS:
            inputs, outputs = (
                [(None,) if tensor.shape.rank is None else tuple(tensor.shape) for tensor in side]
                for side in (operation.inputs, operation.outputs)
            )
            try:
                total += 2 * _PRODUCTS[operation.type](operation, inputs, outputs[0])
            except TypeError as error:  # None among the sizes
                raise ValueError(
                    f"Expected a graph of known shapes. Received: {operation.type} "
                    f"{operation.name!r} of {inputs}. Fix the size of the images and the batch."
                ) from error
    return total


def _matrix_product(operation, inputs, output) -> int:
    flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
    return math.prod(output) * inputs[0][-2 if operation.get_attr(flag) else -1]


def _einsum(operation, inputs, output) -> int:
    """Every label that occurs, once: the size of the loops that the equation stands for."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    if len(terms) == 1:
        return 0
    sizes: dict[Any, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        before, dots, after = term.partition("...")
        broadcast = len(shape) - len(before) - len(after)
        labels = [*before, *range(-broadcast, 0), *after] if dots else [*term]
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(sizes.values())


def _convolution(output_of: Callable, kernel_of: Callable, axes: int) -> Callable:
    """Every output value reads the leading `axes` of the kernel: place, and channels if there."""

    def count(operation, inputs, output):
        return math.prod(output_of(inputs, output)) * math.prod(kernel_of(inputs, output)[:axes])

    return count


def _second(inputs, output):
    return inputs[1]


def _third(inputs, output):
    return inputs[2]


def _output(inputs, output):
    return output


# What each operation of a graph costs in multiplications. A gradient with respect to the images or
# the kernel of a convolution costs as much as the convolution.
_PRODUCTS: dict[str, Callable[..., int]] = {
    "MatMul": _matrix_product,
    "BatchMatMul": _matrix_product,
    "BatchMatMulV2": _matrix_product,
    "BatchMatMulV3": _matrix_product,
    "Einsum": _einsum,
    "Conv2D": _convolution(_output, _second, 3),
    "Conv2DBackpropInput": _convolution(_third, _second, 3),
    "Conv2DBackpropFilter": _convolution(_third, _output, 3),
    "Conv3D": _convolution(_output, _second, 4),
    "DepthwiseConv2dNative": _convolution(_output, _second, 2),
    "DepthwiseConv2dNativeBackpropInput": _convolution(_third, _second, 2),
    "DepthwiseConv2dNativeBackpropFilter": _convolution(_third, _output, 2),
}
