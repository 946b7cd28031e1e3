"""The arithmetic of any Keras model, counted from its TensorFlow graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def count_flops(model: Any, image_size: tuple[int, int] | None = None) -> int:
    """Counts the floating-point operations of any Keras model for one image, from its graph.

    The model is traced as in training, and the products and convolutions of the graph are added up
    by their shapes, two operations for each multiplication and addition. All else is left out, as
    in `keras_vit.models.cost.forward_flops`. Nothing is run and no weight is changed.

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
