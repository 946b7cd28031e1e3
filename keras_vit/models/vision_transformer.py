"""The Vision Transformer, top to bottom: image, patches, tokens, blocks, pooled vector, head."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit import layers
from keras_vit.fitting import TrainableModel
from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig


@keras.saving.register_keras_serializable(package="keras_vit")
class VisionTransformer(TrainableModel):
    """A Vision Transformer as a functional Keras model.

    Args:
        config: the architecture, a `VisionTransformerConfig` or its `to_dict()`.
        input_tensor: a Keras tensor `(batch, height, width, channels)` to build on; None makes an
            input of `config.input_shape`. What leads to it becomes part of the model.
        classifier_activation: activation of the logits; None returns the logits. Not used when
            `config.num_classes` is 0.
        preprocessing: how an image becomes the input, a `Preprocessing` or its `to_dict()`; None
            is [-1, 1] at `config.image_size`, with mean and std for its channels.
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
        if preprocessing is None:
            half = (0.5,) * config.in_channels
            preprocessing = Preprocessing(size=config.image_size, mean=half, std=half)
        elif not isinstance(preprocessing, Preprocessing):
            preprocessing = Preprocessing.from_dict(preprocessing)
        policy = keras.dtype_policies.get(dtype) if dtype else keras.config.dtype_policy()
        activation = keras.activations.get(classifier_activation)

        images = _input_tensor(config, input_tensor)
        tokens = embed_images(config, policy, images)
        tokens, pooled = encode_tokens(config, policy, tokens)
        features = tokens if pooled is None else project_pooled(config, policy, pooled)
        logits = classify(config, policy, features)

        output = keras.layers.Activation(
            "linear" if logits is None else activation, dtype="float32", name="predictions"
        )(features if logits is None else logits)
        # Keras makes this a functional model; its inputs are all that lead to `images`.
        inputs = images if input_tensor is None else _source_inputs(images)
        super().__init__(inputs=inputs, outputs=output, name=name, trainable=trainable)

        self.config = config
        self.preprocessing = preprocessing
        self.classifier_activation = activation
        self.dtype_policy = policy
        self.features = features
        self.logits = logits
        self._images = images
        self._has_own_input = input_tensor is None or input_tensor is inputs

    @property
    def blocks(self) -> list[layers.TransformerBlock]:
        """The encoder blocks, first to last."""
        return [self.get_layer(f"encoder_block_{index}") for index in range(self.config.num_layers)]

    def embed(self, images: Any, training: bool = False) -> Any:
        """Turns images into the sequence that enters the first block.

        Args:
            images: `(batch, height, width, channels)`, prepared as `preprocessing` says.
            training: whether dropout acts.

        Returns:
            `(batch, tokens, hidden_size)`, prefix tokens first, positions added.
        """
        x = images
        for name in ("stem", "patches", "patch_encoder", "pre_norm"):
            if name in self._layer_names:
                arguments = {"training": training} if name == "patch_encoder" else {}
                x = self.get_layer(name)(x, **arguments)
        return x

    @property
    def _layer_names(self) -> set[str]:
        return {layer.name for layer in self.layers}

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
            lead = keras.Model(self.inputs, self._images, name=f"{self.name}_lead")
            config["lead"] = keras.saving.serialize_keras_object(lead)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None):
        config = dict(config)
        lead = config.pop("lead", None)
        if lead is not None:
            lead = keras.saving.deserialize_keras_object(lead, custom_objects)
            config["input_tensor"] = lead.output
        config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        return cls(**config)


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


def embed_images(config: VisionTransformerConfig, policy: Any, images: Any):
    """Image → patches → tokens: `(batch, height, width, channels)` to `(batch, tokens, D)`."""
    x = images
    if config.hybrid is not None:
        hybrid = config.hybrid
        x = layers.ResNetStem(
            hybrid.stem_width,
            hybrid.units_per_stage,
            group_norm_groups=hybrid.group_norm_groups,
            group_norm_epsilon=hybrid.group_norm_epsilon,
            weight_standardization=hybrid.weight_standardization,
            weight_standardization_epsilon=hybrid.weight_standardization_epsilon,
            dtype=policy,
            name="stem",
        )(x)
    x = layers.Patches(config.patch_size, dtype=policy, name="patches")(x)
    x = layers.PatchEncoder(
        config.hidden_size,
        use_bias=config.patch_bias,
        class_token=config.class_token,
        distillation_token=config.distillation_token,
        num_register_tokens=config.num_register_tokens,
        position_embedding=config.position_embedding,
        position_embedding_prefix_rows=config.position_embedding_prefix_rows,
        interpolation=config.position_embedding_interpolation,
        grid_size=config.grid_size,
        dropout_rate=config.dropout_rate,
        dtype=policy,
        name="patch_encoder",
    )(x)
    return _layer_norm(config, policy, "pre_norm")(x) if config.pre_norm else x


def encode_tokens(config: VisionTransformerConfig, policy: Any, tokens: Any):
    """Tokens → blocks → pooled: returns the last tokens and the pooled vector, or None for it."""
    depth = config.num_layers
    merged = ()  # sizes and places of the tokens, once some have merged
    for index, count in enumerate(config.merged_per_block):
        block = layers.TransformerBlock(
            config.num_heads,
            config.mlp_dim,
            mlp=config.mlp,
            gelu=config.gelu,
            epsilon=config.layer_norm_epsilon,
            qkv_bias=config.qkv_bias,
            qk_norm=config.qk_norm,
            layer_scale_init=config.layer_scale_init if config.layer_scale else None,
            dropout_rate=config.dropout_rate,
            attention_dropout_rate=config.attention_dropout_rate,
            drop_path_rate=config.drop_path_rate * index / max(depth - 1, 1),
            token_merging=count,
            num_prefix_tokens=config.num_prefix_tokens,
            # The gradient begins at the last block, whose activations are still there.
            rematerialize=config.rematerialize and index < depth - 1,
            dtype=policy,
            name=f"encoder_block_{index}",
        )
        tokens = block(tokens, *merged)
        if count or merged:
            tokens, *merged = tokens
    if merged and config.pooling not in ("token", "token+distillation"):  # these need no patches
        tokens = layers.TokenUnmerging(dtype=policy, name="unmerge")(tokens, merged[1])
    norm = _layer_norm(config, policy, "encoder_norm")
    if config.pooling == "none":
        return norm(tokens), None
    if config.final_norm == "pooled":
        return tokens, norm(_pool(config, policy, tokens))
    tokens = norm(tokens)
    return tokens, _pool(config, policy, tokens)


def _layer_norm(config: VisionTransformerConfig, policy: Any, name: str):
    return layers.LayerNormalization(epsilon=config.layer_norm_epsilon, dtype=policy, name=name)


def _pool(config: VisionTransformerConfig, policy: Any, tokens: Any):
    """`(batch, tokens, D)` to `(batch, features)` as `config.pooling` says."""
    if config.pooling == "map":
        return layers.AttentionPooling(
            config.num_heads,
            config.mlp_dim,
            gelu=config.gelu or "tanh",
            epsilon=config.layer_norm_epsilon,
            dtype=policy,
            name="pooling",
        )(tokens)
    return layers.TokenPooling(
        config.pooling,
        num_prefix_tokens=config.num_prefix_tokens,
        include_prefix_tokens=config.pooling_includes_prefix_tokens,
        dtype=policy,
        name="pooling",
    )(tokens)


def project_pooled(config: VisionTransformerConfig, policy: Any, pooled: Any):
    """Pooled → features: the layer before the head and the projection, where there are any."""
    if config.pre_logits_size is not None:
        pooled = keras.layers.Dense(
            config.pre_logits_size,
            activation=config.pre_logits_activation,
            dtype=policy,
            name="pre_logits",
        )(pooled)
    if config.projection_size is not None:
        pooled = keras.layers.Dense(
            config.projection_size, use_bias=False, dtype=policy, name="projection"
        )(pooled)
    return pooled


def classify(config: VisionTransformerConfig, policy: Any, features: Any):
    """Features → logits `(batch, num_classes)`, or None without classes."""
    if not config.num_classes:
        return None
    if config.pooling == "token+distillation":
        return layers.DistilledHead(config.num_classes, dtype=policy, name="head")(features)
    return keras.layers.Dense(
        config.num_classes, kernel_initializer="zeros", dtype=policy, name="head"
    )(features)
