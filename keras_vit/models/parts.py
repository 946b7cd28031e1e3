"""The layers of a Vision Transformer by what they are for, top to bottom."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_vit import layers
from keras_vit.layers.layer_norm import NORMS
from keras_vit.layers.token_state import TokenState
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.poolings import POOLINGS


def decays(variable: keras.Variable) -> bool:
    """Says whether weight decay acts on a variable: on kernels, not on biases, norms and tokens."""
    return "kernel" in variable.name


@dataclasses.dataclass(frozen=True)
class ParameterGroup:
    """Layers that learn at one rate.

    Attributes:
        name: `"embedding"`, `"block_0"` and so on, or `"head"`.
        layers: its layers, in the order in which they act.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]

    @property
    def variables(self) -> list[keras.Variable]:
        """What is trained of it now: nothing of a frozen layer."""
        found = [variable for layer in self.layers for variable in layer.trainable_variables]
        return list({id(variable): variable for variable in found}.values())

    @property
    def decayed(self) -> list[keras.Variable]:
        """Those of `variables` that weight decay acts on: the kernels."""
        return [variable for variable in self.variables if decays(variable)]

    @property
    def not_decayed(self) -> list[keras.Variable]:
        """The others: biases, norms, scales, tokens and positions."""
        return [variable for variable in self.variables if not decays(variable)]


class Parts:
    """The layers that a config asks for; in a model they are found here, not by their names.

    Args:
        config: the architecture.
        policy: the dtype policy of all layers.

    Attributes:
        embedding: from images to what enters the first block.
        blocks: the encoder blocks.
        coordinates: says of patches where they lie, for rotary positions, or None.
        relative_bias: makes the relative position bias that all blocks share, or None.
        norm: the last norm, or None.
        norms_tokens: whether it acts on the tokens, or else on the pooled vector.
        pooling: makes one vector of the tokens; None where all tokens are the output.
        projections: what stands between the pooled vector and the head, one after the other.
        head: from features to logits, or None.
        ways: models on these layers from what the whole model takes to its `"images"`, the
            `"embedded"` sequence and the last `"tokens"`; the whole model puts them here.
        behind: the symbolic `TokenState` behind each block; the whole model puts them here.
    """

    def __init__(self, config: VisionTransformerConfig, policy: Any):
        self._chain = tuple(_embedding(config, policy))
        self.blocks = [_block(config, policy, index) for index in range(config.num_layers)]
        self.coordinates = None
        if config.rotary is not None:
            self.coordinates = layers.PatchCoordinates(
                num_prefix_tokens=config.num_prefix_tokens,
                **config.rotary.counting,
                name="coordinates",
            )
        relative = config.relative_position_bias
        self._hands_on_grid = relative is not None
        self.relative_bias = None
        if relative is not None and relative.shared:
            self.relative_bias = layers.RelativePositionBias(
                config.num_heads, **_relative_bias(config), name="relative_bias"
            )
        self.embedding = tuple(x for x in (*self._chain, self.relative_bias) if x is not None)
        self.norm = None
        if config.final_norm != "none":
            self.norm = _norm(config, policy, "encoder_norm")
        pooling = POOLINGS[config.pooling]
        self.norms_tokens = pooling.keeps_all or config.final_norm != "pooled"
        self.pooling = pooling.make_layer(config, policy)
        self.projections = tuple(_projections(config, policy))
        self.head = _head(config, policy)
        self.ways: dict[str, keras.Model] = {}
        self.behind: list[TokenState] = []

    @property
    def top(self) -> tuple[keras.layers.Layer, ...]:
        """All that follows the blocks, but for the head."""
        chain = (self.norm, self.pooling, *self.projections)
        return tuple(layer for layer in chain if layer is not None)

    def embed(self, images: Any) -> Any:
        """Turns images into what enters the first block: tokens, or a pair of tokens and state."""
        x, state = images, None
        for layer in self._chain:
            if isinstance(layer, layers.PatchEncoder):
                state = self._state(x)
            x = layer(x)
        return x if state is None else (x, state)

    def _state(self, patches: Any) -> dict[str, Any] | None:
        """Returns what blocks take beside the tokens, by where the patches lie."""
        if self.coordinates is not None:
            return {"coordinates": self.coordinates(patches)}
        if not self._hands_on_grid:
            return None
        grid = patches[:1, :, :, 0]
        return {"grid": grid} if self.relative_bias is None else {"bias": self.relative_bias(grid)}

    def run_blocks(self, embedded: Any) -> list[TokenState]:
        """Runs the blocks on what enters the first one; returns what leaves each of them."""
        behind, sequence = [], TokenState.of(embedded)
        for block in self.blocks:
            sequence = TokenState.of(block(*sequence))
            behind.append(sequence)
        return behind

    @contextlib.contextmanager
    def gelu_form(self, form: str) -> Iterator[None]:
        """Within it, what is traced has its GELUs in a form of `keras_vit.layers.gelu`."""
        mlps = [block.mlp for block in self.blocks]
        if hasattr(self.pooling, "mlp"):
            mlps.append(self.pooling.mlp)
        before = [mlp.gelu_form for mlp in mlps]
        try:
            for mlp in mlps:
                mlp.gelu_form = form
            yield
        finally:
            for mlp, own in zip(mlps, before, strict=True):
                mlp.gelu_form = own

    def finish(self, tokens: Any) -> Any:
        """Turns the tokens behind the last block into those that the pooling reads: norms them."""
        return self.norm(tokens) if self.norms_tokens and self.norm is not None else tokens

    def pool(self, tokens: Any) -> Any:
        """Turns tokens into the features that the head reads; without a pooling they stay."""
        if self.pooling is None:
            return tokens
        return self.project(self.pooling(tokens))

    def project(self, pooled: Any) -> Any:
        """Turns the pooled vector into the features that the head reads."""
        return run(self.projections, pooled if self.norms_tokens else self.norm(pooled))


def run(chain: Iterable[keras.layers.Layer], x: Any) -> Any:
    """Runs layers one after the other."""
    for layer in chain:
        x = layer(x)
    return x


def _embedding(config: VisionTransformerConfig, policy: Any):
    """Yields the layers image → patches → tokens."""
    if config.hybrid is not None:
        hybrid = config.hybrid
        yield layers.ResNetStem(
            hybrid.stem_width,
            hybrid.units_per_stage,
            group_norm_groups=hybrid.group_norm_groups,
            group_norm_epsilon=hybrid.group_norm_epsilon,
            weight_standardization=hybrid.weight_standardization,
            weight_standardization_epsilon=hybrid.weight_standardization_epsilon,
            dtype=policy,
            name="stem",
        )
    yield layers.Patches(
        config.patch_size, drop_remainder=config.drop_remainder, dtype=policy, name="patches"
    )
    yield layers.PatchEncoder(
        config.hidden_size,
        use_bias=config.patch_bias,
        norm=config.norm if config.patch_norm else None,
        epsilon=config.layer_norm_epsilon,
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
    )
    if config.pre_norm:
        yield _norm(config, policy, "pre_norm")


def _block(config: VisionTransformerConfig, policy: Any, index: int) -> layers.TransformerBlock:
    depth, relative = config.num_layers, config.relative_position_bias
    relative = None if relative is None or relative.shared else relative
    return layers.TransformerBlock(
        config.num_heads,
        config.mlp_dim,
        mlp=config.mlp,
        gelu=config.gelu,
        epsilon=config.layer_norm_epsilon,
        qkv_bias=config.qkv_bias,
        key_bias=config.key_bias,
        qk_norm=config.qk_norm,
        norm=config.norm,
        attention_output_bias=config.attention_output_bias,
        attention_inner_norm=config.attention_inner_norm,
        mlp_bias=config.mlp_bias,
        mlp_inner_norm=config.mlp_inner_norm,
        rotary=None if config.rotary is None else config.rotary.turning,
        relative_bias=_relative_bias(config) if relative is not None else None,
        layer_scale_init=config.layer_scale_init if config.layer_scale else None,
        dropout_rate=config.dropout_rate,
        attention_dropout_rate=config.attention_dropout_rate,
        drop_path_rate=config.drop_path_rate * index / max(depth - 1, 1),
        token_merging=config.merged_per_block[index],
        num_prefix_tokens=config.num_prefix_tokens,
        # The gradient begins at the last block, whose activations are still there.
        rematerialize=config.rematerialize and index < depth - 1,
        dtype=policy,
        name=f"encoder_block_{index}",
    )


def _relative_bias(config: VisionTransformerConfig) -> dict[str, Any]:
    return {
        "grid_size": config.grid_size,
        "num_prefix_tokens": config.num_prefix_tokens,
        **config.relative_position_bias.arguments,
    }


def _norm(config: VisionTransformerConfig, policy: Any, name: str):
    kind = NORMS[config.norm]
    return kind(epsilon=config.layer_norm_epsilon, dtype=policy, name=name)


def _projections(config: VisionTransformerConfig, policy: Any):
    """Yields the layer before the head and the projection, where there are any."""
    if POOLINGS[config.pooling].keeps_all:
        return
    if config.pre_logits_size is not None:
        yield keras.layers.Dense(
            config.pre_logits_size,
            activation=config.pre_logits_activation,
            dtype=policy,
            name="pre_logits",
        )
    if config.projection_size is not None:
        yield keras.layers.Dense(
            config.projection_size, use_bias=False, dtype=policy, name="projection"
        )


def _head(config: VisionTransformerConfig, policy: Any) -> keras.layers.Layer | None:
    """The layer from features to logits `(batch, num_classes)`."""
    if not config.num_classes:
        return None
    if POOLINGS[config.pooling].two_heads:
        return layers.DistilledHead(config.num_classes, dtype=policy, name="head")
    return keras.layers.Dense(
        config.num_classes, kernel_initializer="zeros", dtype=policy, name="head"
    )
