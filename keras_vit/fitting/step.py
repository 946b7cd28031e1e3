"""One training step and one evaluation step, as each replica runs them.

A step takes the gradient of the loss of the whole batch, however that is shared among replicas and
cut into parts: each part's loss counts by its share of the batch, the gradients are added, and only
then clipped and applied.
"""

import warnings
from typing import Any

import keras
import tensorflow as tf

from keras_vit.fitting import updates

WEIGHTED_MEAN = "mean_with_sample_weight"


def train_step(model: keras.Model, data: Any) -> dict[str, Any]:
    """Updates the weights by one batch.

    Args:
        model: a compiled `TrainableModel`.
        data: this replica's part of the batch: `x`, `(x, y)` or `(x, y, sample_weight)`.

    Returns:
        The metrics so far, over all replicas.
    """
    data = keras.utils.unpack_x_y_sample_weight(data)
    options = model.step_options
    total = _total_weight(data, model.loss_reduction)
    variables, gradients, loss, outputs = _gradients(model, data, total)
    if not variables:
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return _metrics(model, data, loss, outputs)
    gradients = _sum_over_replicas(gradients)
    if options.sharpness_radius:
        before = updates.move_uphill(gradients, variables, options.sharpness_radius)
        _, gradients, _, _ = _gradients(model, data, total)
        updates.give_values(variables, before)
        gradients = _sum_over_replicas(gradients)
    factors = options.factors(model.layers)
    updates.apply_gradients(model.optimizer, gradients, variables, factors)
    return _metrics(model, data, loss, outputs)


def test_step(model: keras.Model, data: Any) -> dict[str, Any]:
    """Evaluates one batch; takes and returns what `train_step` does."""
    data = keras.utils.unpack_x_y_sample_weight(data)
    outputs, loss = _forward(model, data, training=False)
    loss = loss * _loss_divisor(model.loss_reduction)
    return _metrics(model, data, loss, outputs)


def _num_replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def _loss_divisor(reduction: str) -> float:
    """Returns what Keras has divided a loss by, so that a sum over replicas is their mean."""
    return 1.0 if reduction == "sum" else float(_num_replicas())


def _num_examples(data: Any) -> Any:
    """Returns the examples of a part: an int where the shape is static, else a tensor."""
    first = keras.tree.flatten(data[0])[0]
    return first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]


def _weight(data: Any, reduction: str) -> tf.Tensor:
    """Returns how much a part counts in the loss of the batch, in float32."""
    if reduction == WEIGHTED_MEAN and data[2] is not None:
        return tf.cast(tf.reduce_sum(data[2]), tf.float32)
    return tf.cast(_num_examples(data), tf.float32)


def _over_replicas(weight: tf.Tensor, data: Any, reduction: str) -> tf.Tensor:
    """Adds a weight, or a number of examples, over all replicas."""
    replicas = _num_replicas()
    is_static = isinstance(_num_examples(data), int) and reduction != WEIGHTED_MEAN
    if replicas == 1 or is_static:  # batches of a static size are alike on all replicas
        return weight * replicas
    return _sum_over_replicas(weight)


def _total_weight(data: Any, reduction: str) -> tf.Tensor:
    """Returns how much the batches of all replicas count together."""
    return _over_replicas(_weight(data, reduction), data, reduction)


def _share(data: Any, reduction: str, total: tf.Tensor) -> Any:
    """Returns the factor with which a part's loss adds to the loss of the batch."""
    return 1.0 if reduction == "sum" else _weight(data, reduction) / total


def _reported(model: keras.Model, data: Any, loss: tf.Tensor) -> tf.Tensor:
    """Returns the loss that, averaged over all examples, gives the loss of the whole batch."""
    reduction = model.loss_reduction
    if _num_replicas() == 1 or reduction not in ("sum", WEIGHTED_MEAN):
        return loss
    share = _share(data, reduction, _total_weight(data, reduction))
    examples = tf.cast(_num_examples(data), tf.float32)
    all_examples = _over_replicas(examples, data, "sum")
    return loss * tf.cast(share * tf.math.divide_no_nan(all_examples, examples), loss.dtype)


def _sum_over_replicas(values: Any) -> Any:
    if _num_replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _forward(model: keras.Model, data: Any, *, training: bool) -> tuple[Any, tf.Tensor]:
    """Returns outputs and loss; a replica without an example computes one of zeros in its place."""
    count = _num_examples(data)
    x, y, sample_weight = data
    if not isinstance(count, int):
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        x, y, sample_weight = keras.tree.map_structure(lambda part: _pad(part, missing), data)
    outputs = model(x, training=training)
    loss = model.compute_loss(x, y, outputs, sample_weight=sample_weight, training=training)
    if not isinstance(count, int):
        outputs = keras.tree.map_structure(lambda output: output[:count], outputs)
        loss = tf.where(tf.equal(count, 0), tf.zeros_like(loss), loss)
    return outputs, loss


def _pad(tensor: tf.Tensor | None, missing: tf.Tensor) -> tf.Tensor | None:
    if tensor is None:
        return None
    zeros = tf.zeros(tf.concat([missing[tf.newaxis], tf.shape(tensor)[1:]], 0), tensor.dtype)
    padded = tf.concat([tensor, zeros], 0)
    return tf.ensure_shape(padded, tensor.shape)


def _gradients(
    model: keras.Model, data: Any, total: tf.Tensor
) -> tuple[list[keras.Variable], list[tf.Tensor], tf.Tensor, Any]:
    """Returns the variables with a gradient, the gradients of this replica, loss and outputs."""
    parts, variables = model.step_options.accumulation_steps, list(model.trainable_variables)
    if parts > 1:
        gradients, loss, outputs = _gradients_in_parts(model, data, total, variables, parts)
        return variables, gradients, loss, outputs
    gradients, loss, outputs = _gradients_of_part(model, data, total, variables)
    pairs = [pair for pair in zip(variables, gradients, strict=True) if pair[1] is not None]
    if len(pairs) < len(variables):
        left = [v.path for v, g in zip(variables, gradients, strict=True) if g is None]
        warnings.warn(f"The loss does not depend on these variables: {left}.", stacklevel=2)
    variables, gradients = map(list, zip(*pairs, strict=True)) if pairs else ([], [])
    return variables, gradients, loss, outputs


def _gradients_of_part(model, data, total, variables):
    """Returns gradients of the scaled loss at its share of the batch, its plain loss, outputs."""
    reduction = model.loss_reduction
    with tf.GradientTape() as tape:
        outputs, loss = _forward(model, data, training=True)
        plain = loss * tf.cast(_loss_divisor(reduction), loss.dtype)
        share = tf.cast(_share(data, reduction, total), loss.dtype)
        scaled = model.optimizer.scale_loss(plain * share)
    gradients = tape.gradient(scaled, [variable.value for variable in variables])
    gradients = [g if g is None else tf.convert_to_tensor(g) for g in gradients]
    return gradients, plain, outputs


def _gradients_in_parts(model, data, total, variables, parts):
    """Works off the batch part by part, in a loop, so that one part's activations are held."""
    count = _num_examples(data)
    is_even = isinstance(count, int) and count % parts == 0
    size = count // parts if is_even else None
    if model.jit_compile and not is_even:
        received = count if isinstance(count, int) else "batches of any size"
        raise ValueError(
            "Expected batches of one size, known before the first step and a multiple of "
            f"accumulation_steps={parts}, with jit_compile=True. Received: {received}. Batch with "
            "drop_remainder=True, or compile with jit_compile=False."
        )

    def part(index):
        def cut(tensor):
            if is_even:  # of a size that XLA can see
                return tf.reshape(tensor, [parts, size, *tensor.shape[1:]])[index]
            return tensor[index * count // parts : (index + 1) * count // parts]

        return keras.tree.map_structure(
            lambda tensor: None if tensor is None else cut(tensor), data
        )

    def body(index, sums, loss, outputs):
        piece = part(index)
        gradients, piece_loss, piece_outputs = _gradients_of_part(model, piece, total, variables)
        sums = [
            sum_ if gradient is None else sum_ + gradient
            for sum_, gradient in zip(sums, gradients, strict=True)
        ]
        examples = 1 if model.loss_reduction == "sum" else _num_examples(piece)
        loss = loss + tf.cast(piece_loss, loss.dtype) * tf.cast(examples, loss.dtype)
        flat = keras.tree.flatten(piece_outputs)
        outputs = [array.write(index, value) for array, value in zip(outputs, flat, strict=True)]
        return index + 1, sums, loss, outputs

    specs = keras.tree.flatten(model.outputs)
    outputs = [
        tf.TensorArray(spec.dtype, parts, infer_shape=False, element_shape=[size, *spec.shape[1:]])
        for spec in specs
    ]
    zeros = [tf.zeros_like(variable.value) for variable in variables]
    loss = tf.zeros([], keras.config.floatx())
    _, sums, loss, outputs = tf.while_loop(
        lambda index, *_: index < parts,
        body,
        (tf.constant(0), zeros, loss, outputs),
        parallel_iterations=1,
        maximum_iterations=parts,
    )
    if model.loss_reduction != "sum":
        loss = tf.math.divide_no_nan(loss, tf.cast(count, loss.dtype))
    flat = [
        tf.reshape(array.stack(), [count, *spec.shape[1:]]) if is_even else array.concat()
        for array, spec in zip(outputs, specs, strict=True)
    ]
    flat = [
        tf.ensure_shape(value, [count if isinstance(count, int) else None, *spec.shape[1:]])
        for value, spec in zip(flat, specs, strict=True)
    ]
    return sums, loss, keras.tree.pack_sequence_as(model.output, flat)


def _metrics(model, data, loss, outputs) -> dict[str, Any]:
    """Updates the metrics by this replica's part and returns them over all replicas."""
    x, y, sample_weight = data
    for metric in model.metrics:
        if metric.name == "loss":
            loss = _reported(model, data, loss)
            metric.update_state(loss, sample_weight=_num_examples(data))
            break
    results = model.compute_metrics(x, y, outputs, sample_weight=sample_weight)
    if _num_replicas() == 1:
        return results

    def over_all(strategy):
        results = model.get_metrics_result()
        # Keras takes the mean over the first axis where there are several workers.
        if strategy.num_replicas_in_sync > len(strategy.extended.worker_devices):
            return keras.tree.map_structure(lambda value: tf.reshape(value, [1]), results)
        return results

    return tf.distribute.get_replica_context().merge_call(over_all)
