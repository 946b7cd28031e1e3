"""Builds a model from a config or an open checkpoint and the arguments that all builders share."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_vit.checks import is_int
from keras_vit.images.spec import Preprocessing
from keras_vit.layers.dense import values_follow
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.layouts import BoundCheckpoint
from keras_vit.weights.load import assign


@dataclasses.dataclass(frozen=True)
class BuildArguments:
    """What every builder of a model takes beside an architecture, as the model factories say it."""

    include_top: bool = True
    input_tensor: Any = None
    input_shape: tuple[int | None, int | None, int] | None = None
    pooling: str | None = None
    classes: int | None = None
    classifier_activation: Any = "softmax"
    name: str | None = None
    dtype: Any = None
    trainable: bool = True

    @property
    def shape_fields(self) -> dict[str, Any]:
        """The config fields that the shape of the images sets."""
        shape = self.input_shape
        if shape is None and self.input_tensor is not None:
            shape = tuple(self.input_tensor.shape[1:])
        if shape is None:
            return {}
        shape = tuple(shape)
        if len(shape) != 3 or shape[2] is None or (shape[0] is None) != (shape[1] is None):
            raise ValueError(
                "Expected `input_shape` as (height, width, channels), or (None, None, channels) "
                f"for any size. Received: input_shape={self.input_shape!r}."
            )
        size = {"dynamic_image_size": True} if shape[0] is None else {"image_size": shape[:2]}
        return {**size, "in_channels": shape[2]}

    @property
    def head_fields(self) -> dict[str, Any]:
        """The config fields that the arguments about the head set."""
        if not self.include_top:
            fields = {"num_classes": 0, "pre_logits_size": None, "projection_size": None}
            return {**fields, "pooling": "none" if self.pooling is None else self.pooling}
        fields = {} if self.pooling is None else {"pooling": self.pooling}
        if self.classes is None:
            return fields
        if not is_int(self.classes) or self.classes < 1:
            raise ValueError(
                "Expected `classes` to be an integer of at least 1, or None for the model's own "
                f"head. Received: classes={self.classes!r}. Use include_top=False for a model "
                "without a head."
            )
        return {**fields, "num_classes": int(self.classes)}

    @property
    def size_hint(self) -> dict[str, Any]:
        """`image_size` for the reading of a checkpoint, where the shape of the images says it."""
        fields = self.shape_fields
        return {"image_size": fields["image_size"]} if "image_size" in fields else {}

    def build(
        self,
        config: VisionTransformerConfig,
        preprocessing: Preprocessing | None = None,
        **overrides: Any,
    ) -> VisionTransformer:
        """Builds the model of a config and changes of its fields, with initial values.

        Its preprocessing is that given, [-1, 1] where None is, at the size of its images.
        """
        config = config.replace(**{**overrides, **self.shape_fields, **self.head_fields})
        if preprocessing is not None and not config.dynamic_image_size:
            preprocessing = preprocessing.replace(size=config.image_size)
        activation = self.classifier_activation
        if config.multi_label and activation == "softmax":  # the default, as for a single class
            activation = "sigmoid"
        model = VisionTransformer(
            config,
            input_tensor=self.input_tensor,
            classifier_activation=activation,
            name=self.name,
            dtype=self.dtype,
            trainable=self.trainable,
        )
        if preprocessing is not None:
            model.preprocessing = model.preprocessing_before(preprocessing)
        return model

    def build_loaded(
        self,
        bound: BoundCheckpoint,
        config: VisionTransformerConfig,
        preprocessing: Preprocessing | None = None,
        channels: Sequence[int | None] | None = None,
    ) -> VisionTransformer:
        """Builds a model of what was read from a checkpoint, and loads it.

        Without `preprocessing` it is what the checkpoint says, else what its family was published
        with. `channels` is as in `keras_vit.weights.load_weights`.

        Raises:
            ValueError: what does not fit, all of it in one error.
        """
        preprocessing = preprocessing or bound.preprocessing
        if preprocessing is None:
            size = config.image_size
            preprocessing = bound.layout.preprocessing(bound, size, config.in_channels)
        with values_follow():
            model = self.build(config, preprocessing)
        assign(model, bound, channels=channels, careful=False)
        return model
