"""The Vision Transformer, top to bottom: image, patches, tokens, blocks, pooled vector, head.

Its layers are made in `keras_vit.models.parts`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_vit import layers
from keras_vit.fitting import TrainableModel
from keras_vit.images.carrier import before
from keras_vit.images.spec import Preprocessing
from keras_vit.layers.inner_state import get_inner_state, set_inner_state
from keras_vit.models.adapters import Adaptable
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.parts import ParameterGroup, Parts
from keras_vit.models.poolings import POOLINGS
from keras_vit.models.probability import probabilities


@keras.saving.register_keras_serializable(package="keras_vit")
class VisionTransformer(Adaptable, TrainableModel):
    """A Vision Transformer as a functional Keras model.

    Args:
        config: the architecture, a `VisionTransformerConfig` or its `to_dict()`.
        input_tensor: a Keras tensor `(batch, height, width, channels)` to build on; None makes an
            input of `config.input_shape`. What leads to it becomes part of the model.
        classifier_activation: activation of the logits; None returns the logits. Not used when
            `config.num_classes` is 0, and with `config.values`.
        preprocessing: how an image becomes the input, a `Preprocessing` or its `to_dict()`; None
            is [-1, 1] at `config.image_size`, with mean and std for its channels, less what the
            layers that lead to `input_tensor` do themselves (`keras_vit.images.carrier.before`).
        name: name of the model.
        dtype: dtype or policy of all layers, such as `"mixed_bfloat16"`; None is the global one.
        trainable: whether the weights are trained.

    Output, always float32: `(batch, num_classes)`; with `num_classes=0` the pooled vector
    `(batch, features)`, and with `pooling="none"` all normed tokens
    `(batch, tokens, hidden_size)`, prefix tokens first.

    Attributes:
        config: the architecture.
        preprocessing: how an image becomes the input.
        features: the symbolic vector (or tokens) that the head reads.
        logits: the symbolic output of the head `(batch, num_classes)`, or None without a head.
        source_layout: the layout of the checkpoint that was loaded last, or None.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), Figure 1 and equations 1 to 4.
    """

    def __init__(
        self,
        config: VisionTransformerConfig | dict[str, Any],
        *,
        input_tensor: Any = None,
        classifier_activation: Any = "softmax",
        preprocessing: Preprocessing | dict[str, Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ):
        if not isinstance(config, VisionTransformerConfig):
            config = VisionTransformerConfig.from_dict(config)
        if isinstance(preprocessing, Mapping):
            preprocessing = Preprocessing.from_dict(preprocessing)
        policy = keras.dtype_policies.get(dtype) if dtype else keras.config.dtype_policy()
        activation = _activation(config, classifier_activation)

        parts = Parts(config, policy)
        images = _input_tensor(config, input_tensor)
        embedded = parts.embed(images)
        behind = parts.run_blocks(embedded)
        read = tokens = parts.finish(behind[-1].tokens)
        if behind[-1].places is not None:
            unmerge = layers.TokenUnmerging(dtype=policy, name="unmerge")
            tokens = unmerge(tokens, behind[-1].places)
            read = tokens if POOLINGS[config.pooling].patches else read
        features = parts.pool(read)
        logits = None if parts.head is None else parts.head(features)

        output = _predictions(config, activation)(features if logits is None else logits)
        # Keras makes this a functional model; its inputs are all that lead to `images`.
        inputs = images if input_tensor is None else _source_inputs(images)
        super().__init__(inputs=inputs, outputs=output, name=name, trainable=trainable)

        if not trainable:
            for layer in self.layers:
                layer.trainable = False
        self.config = config
        self.classifier_activation = activation
        self.dtype_policy = policy
        self.features = features
        self.logits = logits
        parts.ways = {  # each takes what the model takes
            end: keras.Model(inputs, tensor, name=f"{self.name}_{end}")
            for end, tensor in (("images", images), ("embedded", embedded), ("tokens", tokens))
        }
        parts.behind = behind
        self.parts = parts
        self._has_own_input = images is inputs
        if preprocessing is None:
            half = (0.5,) * config.in_channels
            preprocessing = Preprocessing(size=config.image_size, mean=half, std=half)
            preprocessing = self.preprocessing_before(preprocessing)
        self.preprocessing = preprocessing
        self.source_layout: str | None = None

    @property
    def blocks(self) -> list[layers.TransformerBlock]:
        """The encoder blocks, first to last."""
        return list(self.parts.blocks)

    def preprocessing_before(self, preprocessing: Preprocessing) -> Preprocessing:
        """Says how an image becomes the input, where it becomes the model's own images so.

        Args:
            preprocessing: how an image becomes what the patches are cut from.

        Returns:
            The same, less what the layers that lead to these images do themselves.
        """
        if self._has_own_input:
            return preprocessing
        return before(self.parts.ways["images"], preprocessing)

    def embed(self, images: Any, training: bool | None = None) -> Any:
        """Turns images into the sequence that enters the first block.

        Args:
            images: what the model takes: `(batch, height, width, channels)`, prepared as
                `preprocessing` says; what leads to the model's own images acts on them first.
            training: whether dropout acts.

        Returns:
            `(batch, tokens, hidden_size)`, prefix tokens first, positions added. With rotary
            positions or relative position bias a pair: these, and the state that blocks take
            beside them.
        """
        return self.parts.ways["embedded"](images, training=training)

    def encode(self, images: Any, training: bool | None = None) -> Any:
        """Turns images into the tokens that the pooling reads.

        They are normed, as `include_top=False` gives them; with `final_norm="pooled"` they are not,
        since the norm belongs to `pool` there. Where blocks merge tokens, each merged token stands
        at every place that it came from.

        Args:
            images: as in `embed`.
            training: whether dropout acts.

        Returns:
            `(batch, tokens, hidden_size)`, prefix tokens first.
        """
        return self.parts.ways["tokens"](images, training=training)

    def pool(self, tokens: Any) -> Any:
        """Turns the tokens of `encode` into the features that the head reads.

        Args:
            tokens: `(batch, tokens, hidden_size)`.

        Returns:
            `(batch, features)`; with `pooling="none"` the tokens themselves.
        """
        return self.parts.pool(tokens)

    def head(self, features: Any) -> Any:
        """Turns the features of `pool` into logits.

        Args:
            features: `(batch, features)`.

        Returns:
            `(batch, num_classes)`, before `classifier_activation`.

        Raises:
            ValueError: a model without a head.
        """
        self._check_head()
        return self.parts.head(features)

    def probabilities(self, outputs: Any, *, from_logits: bool | None = None) -> Any:
        """Turns what the model returns into probabilities.

        The softmax of the logits where an image has one class; the sigmoid of each where it may
        have several (`classifier_activation="sigmoid"`, or `config.multi_label`), and of the one
        logit of a model with a single class. Outputs of another activation stay as they are.

        Args:
            outputs: `(batch, num_classes)`, outputs of the model.
            from_logits: whether `outputs` are logits, such as `head` returns; None is what the
                model itself returns.

        Returns:
            `(batch, num_classes)` in float32, as `keras_vit.models.probability` defines it.

        Raises:
            ValueError: a model without a head, or of a regression.
        """
        self._check_head()
        meaning = self.output_meaning
        if meaning == "values":
            raise ValueError(
                f"Expected a model of classes or labels. Received: {self.name!r}, whose outputs "
                "are the values of a regression."
            )
        if from_logits and meaning == "probabilities":
            meaning = _logits_meaning(self.config, self.classifier_activation)
        elif from_logits is False:
            meaning = "probabilities"
        return probabilities(outputs, meaning)

    @property
    def output_meaning(self) -> str:
        """What the outputs are: `"probabilities"`, `"values"`, or logits for one of the others."""
        if self.config.values is not None:
            return "values"
        if self.classifier_activation is keras.activations.linear:
            return _logits_meaning(self.config, self.classifier_activation)
        return "probabilities"

    def parameter_groups(self) -> list[ParameterGroup]:
        """Returns the layers in groups that may learn at rates of their own, from images to logits.

        Returns:
            `"embedding"` (with what leads to the model's own images), `"block_0"` and so on, and
            `"head"` (the last norm, the pooling and all behind). Each group tells which of its
            variables weight decay acts on. No variable stands in two groups.
        """
        lead = self.parts.ways["images"].layers
        parts = self.parts
        blocks = [(f"block_{index}", (block,)) for index, block in enumerate(parts.blocks)]
        head = parts.top if parts.head is None else (*parts.top, parts.head)
        groups = [("embedding", (*lead, *parts.embedding)), *blocks, ("head", head)]
        return [ParameterGroup(name, layers) for name, layers in groups]

    def freeze(self, part: str | None = None, *, blocks: Iterable[int] = ()) -> None:
        """Keeps parts of the model from training; call it before `compile`.

        What was frozen before stays so; `layer.trainable = True` for each of `model.layers` lets
        everything train again.

        Args:
            part: `"backbone"`, all that makes the features, so that the head alone is trained;
                `"embedding"`, what makes the tokens that enter the first block; or None.
            blocks: numbers of blocks, from 0; negative ones count from the last.

        Raises:
            ValueError: another part, or a block that the model does not have.
        """
        parts, depth, numbers = self.parts, self.config.num_layers, list(blocks)
        if part not in (None, "backbone", "embedding"):
            raise ValueError(
                f'Expected `part` to be "backbone", "embedding" or None. Received: part={part!r}.'
            )
        if any(not -depth <= number < depth for number in numbers):
            raise ValueError(
                f"Expected numbers of blocks from 0 to {depth - 1}. Received: blocks={numbers}."
            )
        frozen = [parts.blocks[number] for number in numbers]
        if part is not None:
            frozen += [*self.parts.ways["images"].layers, *parts.embedding]
        if part == "backbone":
            frozen += [*parts.blocks, *parts.top]
        for layer in frozen:
            layer.trainable = False

    def _check_head(self) -> None:
        if self.parts.head is None:
            raise ValueError(
                f"Expected a model with a head. Received: {self.name!r} with num_classes=0."
            )

    def save(self, filepath: Any, *args, **kwargs) -> None:
        """Saves as Keras does, in its `.keras` format.

        Args:
            filepath: a path that ends in `.keras`.
            *args: as in `keras.Model.save`.
            **kwargs: as in `keras.Model.save`.

        Raises:
            ValueError: a path of Keras's older HDF5 format, which cannot hold such a model.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"Expected a path that ends in `.keras`. Received: {str(filepath)!r}. Use "
                'model.save("model.keras"), or model.save_weights("model.weights.h5") for the '
                "weights alone."
            )
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = {
            "config": self.config.to_dict(),
            "classifier_activation": keras.activations.serialize(self.classifier_activation),
            "preprocessing": self.preprocessing.to_dict(),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "trainable": self.trainable,
        }
        if not self._has_own_input:
            config["lead"] = keras.saving.serialize_keras_object(self.parts.ways["images"])
        if self.source_layout is not None:
            config["source_layout"] = self.source_layout
        state = get_inner_state(self, {"predictions": "float32"})
        if state:
            config["inner_state"] = state
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None):
        config = dict(config)
        saved = config["config"]
        if "multi_label" not in saved and saved["pooling"] == "map" and saved["class_token"]:
            # 0.1 saved False, and its attention pooling took all tokens.
            config["config"] = {**saved, "pooling_includes_prefix_tokens": True}
        lead = config.pop("lead", None)
        if lead is not None:
            lead = keras.saving.deserialize_keras_object(lead, custom_objects)
            config["input_tensor"] = lead.output
        config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        state, source = config.pop("inner_state", {}), config.pop("source_layout", None)
        model = cls(**config)
        model.source_layout = source
        set_inner_state(model, state)
        return model


def _input_tensor(config: VisionTransformerConfig, input_tensor: Any):
    """Returns the symbolic images, checked against the config when they come from outside."""
    if input_tensor is None:
        return keras.Input(config.input_shape, name="images")
    if not isinstance(input_tensor, keras.KerasTensor):
        raise ValueError(
            "Expected `input_tensor` to be a Keras tensor, such as the output of `keras.Input`. "
            f"Received: {type(input_tensor).__name__}."
        )
    if tuple(input_tensor.shape[1:]) != config.input_shape:
        raise ValueError(
            f"Expected `input_tensor` of shape (batch, {', '.join(map(str, config.input_shape))}). "
            f"Received: shape={tuple(input_tensor.shape)}."
        )
    return input_tensor


def _source_inputs(tensor: Any):
    """Returns the input, or the list of inputs, from which a symbolic tensor was computed."""
    sources = keras.utils.get_source_inputs(tensor)
    return sources[0] if len(sources) == 1 else sources


def _activation(config: VisionTransformerConfig, classifier_activation: Any) -> Any:
    """Returns the activation of the logits, checked against what the classes are."""
    if config.values is not None:
        return keras.activations.linear
    activation = keras.activations.get(classifier_activation)
    if activation is keras.activations.softmax:
        if config.multi_label:
            raise ValueError(
                'Expected classifier_activation="sigmoid", or None for logits, with '
                "multi_label=True. Received: 'softmax', under which an image has one label."
            )
        if config.num_classes == 1:  # softmax of one logit is 1 for every image
            return keras.activations.sigmoid
    return activation


def _predictions(config: VisionTransformerConfig, activation: Any) -> keras.layers.Layer:
    """Returns the last layer: from logits to the output, or nothing done to features."""
    if config.values is None:
        activation = activation if config.num_classes else "linear"
        return keras.layers.Activation(activation, dtype="float32", name="predictions")
    means, deviations = zip(*config.values, strict=True)
    return keras.layers.Rescaling(deviations, means, dtype="float32", name="predictions")


def _logits_meaning(config: VisionTransformerConfig, activation: Any) -> str:
    """Says what makes probabilities of the logits, as `probabilities` takes it."""
    several = config.multi_label or activation is keras.activations.sigmoid
    return "sigmoid" if several or config.num_classes == 1 else "softmax"
