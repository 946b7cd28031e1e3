"""The architecture of a work, and the number of its weights without building all of it."""

from __future__ import annotations

import functools
import math

from keras_vit.benchmark.work import Work
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import get_variant


def config_of(work: Work) -> VisionTransformerConfig:
    """Returns the architecture that a work builds.

    Args:
        work: of the subject `"keras_vit"`; its options are `input_shape` and fields of the config.
    """
    fields = dict(work.options)
    shape = fields.pop("input_shape", None)
    if shape is not None:
        fields.update(image_size=tuple(shape[:2]), in_channels=shape[2])
    return get_variant(work.model).replace(**fields)


def count_parameters(config: VisionTransformerConfig) -> int:
    """Counts the trainable parameters of an architecture.

    All blocks are alike, so models of one block and of two tell the number for any depth; the
    largest variant is counted without its memory.

    Args:
        config: the architecture.

    Returns:
        Trainable parameters.
    """
    shallow = config.replace(num_layers=1, token_merging=0)
    one = _count(shallow)
    if config.num_layers == 1:
        return one
    return one + (config.num_layers - 1) * (_count(shallow.replace(num_layers=2)) - one)


@functools.cache
def _count(config: VisionTransformerConfig) -> int:
    from keras_vit.models.vision_transformer import VisionTransformer

    model = VisionTransformer(config)
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
