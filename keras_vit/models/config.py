"""What a Vision Transformer is made of, and how its images are prepared, as data.

Nothing here imports Keras.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import (
    check_bool,
    check_choice,
    check_int,
    check_name,
    check_number,
    size_pair,
)
from keras_vit.models.hybrid_config import HybridConfig
from keras_vit.models.poolings import POOLINGS
from keras_vit.models.relative_bias_config import RelativeBiasConfig
from keras_vit.models.rotary_config import RotaryConfig
from keras_vit.vocabulary import GELUS, MLPS

QK_NORMS = (False, True, "joint")
NORMS = ("layer", "rms")
FINAL_NORMS = ("tokens", "pooled", "none")
POSITION_EMBEDDINGS = ("learned", "sincos2d", "none")
POSITION_INTERPOLATIONS = (
    "linear_align_corners", "bicubic_antialias", "bicubic", "linear", "linear_antialias",
)  # fmt: skip


# Fields that are mappings of fields themselves.
_PARTS = {
    "hybrid": HybridConfig,
    "rotary": RotaryConfig,
    "relative_position_bias": RelativeBiasConfig,
}


@dataclasses.dataclass(frozen=True)
class VisionTransformerConfig:
    """The whole architecture of a Vision Transformer; every family differs in fields alone.

    The defaults are ViT-B/16 at 224 px with the 1000 classes of ImageNet. Values are checked on
    creation, with one error that says what was expected and what came.

    Attributes:
        image_size: (height, width) in pixels, or one integer for a square.
        dynamic_image_size: whether the model takes any height and width divisible by the patch
            stride and resizes the position embedding, stored at `image_size`, as it runs.
        drop_remainder: whether pixels below and to the right of the last whole patch are left out;
            else height and width must be divisible by the patch stride. Not with `hybrid`.
        in_channels: channels of the image.
        patch_size: side of a patch: pixels, or steps on the feature map of a hybrid.
        patch_bias: whether the patch projection has a bias.
        patch_norm: whether what it makes is normalised, before positions are added.
        hidden_size: D, the width of every token.
        num_layers: number of encoder blocks.
        num_heads: attention heads of every block; divides `hidden_size`.
        mlp_dim: width that the second matrix of the MLP reads (after gating for `"swiglu"`).
        mlp: `"gelu"` or `"relu"` (two matrices), or `"swiglu"` (the first makes gate and value).
        gelu: `"erf"` (exact), `"tanh"` (its approximation) or `"quick"` (x * sigmoid(1.702 x)).
        qkv_bias: whether query, key and value have a bias.
        key_bias: whether that of the keys is trained too, or stays zero (BEiT, EVA, DINOv3).
        norm: `"layer"` or `"rms"`, the kind of every norm.
        attention_output_bias: whether the last matrix of the attention has a bias.
        attention_inner_norm: whether what it reads is normalised before (sub-LN).
        mlp_bias: whether the matrices of the MLP have a bias.
        mlp_inner_norm: whether what the last matrix of the MLP reads is normalised before.
        layer_norm_epsilon: added to the variance of every norm.
        num_classes: outputs of the head; 0 for none.
        values: of a regression, (mean, deviation) of each output: the model returns what its head
            gives times the deviation plus the mean; None for classes.
        multi_label: whether an image may have several classes, or none, so that each logit is
            turned into a probability by itself (sigmoid); not with a softmax.
        pooling: what becomes of the encoded tokens: `"token"` (the class token), `"gap"` (mean of
            the patch tokens), `"max"`, `"avgmax"` (mean of these two), `"map"` (attention pooling),
            `"token+distillation"`, `"token+gap"` (both, concatenated) or `"none"` (all tokens).
        pooling_includes_prefix_tokens: whether mean, maximum and attention take the prefix tokens
            too.
        pooling_num_heads: heads of `"map"`; None for `num_heads`.
        pooling_mlp_dim: width of its MLP; None for `mlp_dim`.
        final_norm: whether the last norm acts on the `"tokens"` or on the `"pooled"` vector;
            `"none"` for none.
        pre_logits_size: width of a layer between pooling and head, or None.
        pre_logits_activation: its activation.
        projection_size: width of a bias-free projection of the pooled vector, or None.
        class_token: whether a learned class token goes in front.
        distillation_token: whether a distillation token follows it (DeiT).
        num_register_tokens: register tokens after them (DINOv2); they have no position.
        layer_scale: whether each branch is scaled by a learned vector.
        layer_scale_init: the initial value of that vector.
        qk_norm: whether queries and keys are normalised, True for each head by itself, `"joint"`
            for all heads together.
        pre_norm: whether the sequence is layer-normalised before the first block (CLIP).
        position_embedding: what is added to the tokens: `"learned"`, `"sincos2d"` (fixed) or
            `"none"`.
        rotary: how queries and keys are turned by their positions, a `RotaryConfig`, or None.
        relative_position_bias: what the products of queries and keys get by where they lie from
            each other, a `RelativeBiasConfig`, or None.
        position_embedding_prefix_rows: leading rows of the learned embedding that belong to the
            first prefix tokens; None for one to each class and distillation token.
        position_embedding_interpolation: how it is resized to another grid:
            `"linear_align_corners"` (vit_jax, big_vision), `"bicubic_antialias"` (timm),
            `"bicubic"` (Hugging Face), `"linear"` or `"linear_antialias"` (half-pixel centres).
        hybrid: the ResNet in front, a `HybridConfig`, or None.
        dropout_rate: dropout of embeddings, attention output and MLP, in [0, 1).
        attention_dropout_rate: dropout of the attention weights, in [0, 1).
        drop_path_rate: stochastic depth of the last block, in [0, 1); it grows linearly from 0 at
            the first.
        rematerialize: whether training keeps the inputs of the blocks alone and computes each block
            a second time for its gradient: less memory, more time, the same numbers.
        token_merging: patch tokens that every block merges into similar ones, or a tuple with a
            number for each block; at most half of those that are left. Needs no other weights and
            no training; the output has the same shape (ToMe, arXiv 2210.09461).

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1 and Table 1.
    """

    image_size: tuple[int, int] = (224, 224)
    dynamic_image_size: bool = False
    drop_remainder: bool = False
    in_channels: int = 3
    patch_size: int = 16
    patch_bias: bool = True
    patch_norm: bool = False
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_dim: int = 3072
    mlp: str = "gelu"
    gelu: str | None = "tanh"
    qkv_bias: bool = True
    key_bias: bool = True
    norm: str = "layer"
    attention_output_bias: bool = True
    attention_inner_norm: bool = False
    mlp_bias: bool = True
    mlp_inner_norm: bool = False
    layer_norm_epsilon: float = 1e-6
    num_classes: int = 1000
    multi_label: bool = False
    values: tuple[tuple[float, float], ...] | None = None
    pooling: str = "token"
    pooling_includes_prefix_tokens: bool = False
    pooling_num_heads: int | None = None
    pooling_mlp_dim: int | None = None
    final_norm: str = "tokens"
    pre_logits_size: int | None = None
    pre_logits_activation: str | None = "tanh"
    projection_size: int | None = None
    class_token: bool = True
    distillation_token: bool = False
    num_register_tokens: int = 0
    layer_scale: bool = False
    layer_scale_init: float = 1e-5
    qk_norm: bool | str = False
    pre_norm: bool = False
    position_embedding: str = "learned"
    position_embedding_prefix_rows: int | None = None
    position_embedding_interpolation: str | None = "linear_align_corners"
    rotary: RotaryConfig | None = None
    relative_position_bias: RelativeBiasConfig | None = None
    hybrid: HybridConfig | None = None
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    drop_path_rate: float = 0.0
    rematerialize: bool = False
    token_merging: int | tuple[int, ...] = 0

    def __post_init__(self):
        self._normalise()
        self._check_numbers()
        self._check_choices()
        self._check_agreement()

    def _normalise(self) -> None:
        def put(field, value):
            object.__setattr__(self, field, value)

        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if hasattr(value, "item") and not getattr(value, "shape", ()):  # a scalar of NumPy
                put(field.name, value.item())
        put("image_size", size_pair("image_size", self.image_size))
        for field, kind in _PARTS.items():
            if isinstance(getattr(self, field), Mapping):
                put(field, kind.from_dict(getattr(self, field)))
        if self.pooling == "avg":
            put("pooling", "gap")
        elif self.pooling is None:
            put("pooling", "none")
        if isinstance(self.token_merging, (list, tuple)):
            put("token_merging", tuple(self.token_merging))
        if self.values is not None:
            put("values", tuple(tuple(map(float, pair)) for pair in self.values))
        if self.gelu is None and self.mlp == "gelu":
            put("gelu", "tanh")
        for field in ("num_heads", "mlp_dim"):
            if getattr(self, f"pooling_{field}") == getattr(self, field):
                put(f"pooling_{field}", None)
        if self.position_embedding_interpolation is None:
            put("position_embedding_interpolation", "linear_align_corners")
        if self.position_embedding_prefix_rows is None:
            rows = int(self.class_token) + int(self.distillation_token)
            put(
                "position_embedding_prefix_rows",
                rows if self.position_embedding == "learned" else 0,
            )

    def _check_numbers(self) -> None:
        for field in (
            "in_channels", "patch_size", "hidden_size", "num_layers", "num_heads", "mlp_dim",
        ):  # fmt: skip
            check_int(field, getattr(self, field), 1)
        for field in ("num_classes", "num_register_tokens", "position_embedding_prefix_rows"):
            check_int(field, getattr(self, field), 0)
        for field in (
            "pre_logits_size", "projection_size", "pooling_num_heads", "pooling_mlp_dim",
        ):  # fmt: skip
            if getattr(self, field) is not None:
                check_int(field, getattr(self, field), 1)
        for field in ("dropout_rate", "attention_dropout_rate", "drop_path_rate"):
            check_number(field, getattr(self, field), "[0, 1)")
        for field in ("layer_norm_epsilon", "layer_scale_init"):
            check_number(field, getattr(self, field), "(0, inf)")
        for field in (
            "rematerialize", "multi_label", "drop_remainder", "attention_output_bias",
            "attention_inner_norm", "key_bias", "mlp_bias", "mlp_inner_norm", "patch_norm",
        ):  # fmt: skip
            check_bool(field, getattr(self, field))
        self._check_token_merging()

    def _check_token_merging(self) -> None:
        counts = self.token_merging
        if not isinstance(counts, tuple):
            check_int("token_merging", counts, 0)
            return
        for count in counts:
            check_int("token_merging", count, 0)
        if len(counts) != self.num_layers:
            raise ValueError(
                f"Expected `token_merging` to be one number or one for each of {self.num_layers} "
                f"blocks. Received: token_merging={counts}, {len(counts)} numbers."
            )

    def _check_choices(self) -> None:
        check_choice("pooling", self.pooling, tuple(POOLINGS))
        check_choice("mlp", self.mlp, MLPS)
        if self.gelu is not None:
            check_choice("gelu", self.gelu, GELUS)
        check_choice("norm", self.norm, NORMS)
        check_choice("qk_norm", self.qk_norm, QK_NORMS)
        check_choice("final_norm", self.final_norm, FINAL_NORMS)
        check_choice("position_embedding", self.position_embedding, POSITION_EMBEDDINGS)
        check_choice(
            "position_embedding_interpolation",
            self.position_embedding_interpolation,
            POSITION_INTERPOLATIONS,
        )
        for field, kind in _PARTS.items():
            value = getattr(self, field)
            if value is not None and not isinstance(value, kind):
                raise ValueError(
                    f"Expected `{field}` to be None, a {kind.__name__} or a mapping. "
                    f"Received: {field}={value!r}."
                )

    def _check_agreement(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                "Expected `hidden_size` to be divisible by `num_heads`. Received: "
                f"hidden_size={self.hidden_size}, num_heads={self.num_heads}."
            )
        if self.drop_remainder and self.hybrid is not None:
            raise ValueError("Expected drop_remainder=False with `hybrid`. Received: True.")
        whole = any(size < self.patch_stride for size in self.image_size) or not self.drop_remainder
        if whole and any(size % self.patch_stride for size in self.image_size):
            raise ValueError(
                f"Expected `image_size` to be divisible by the patch stride of {self.patch_stride} "
                f"pixels in height and width. Received: image_size={self.image_size}."
            )
        if self.position_embedding == "sincos2d" and self.hidden_size % 4:
            raise ValueError(
                'Expected `hidden_size` to be divisible by 4 with position_embedding="sincos2d". '
                f"Received: hidden_size={self.hidden_size}."
            )
        if self.rotary is not None and (self.hidden_size // self.num_heads) % 4:
            raise ValueError(
                "Expected heads of a width divisible by 4 with `rotary`. Received: "
                f"hidden_size={self.hidden_size}, num_heads={self.num_heads}."
            )
        if self.relative_position_bias is not None:
            self._check_relative_bias()
        if self.values is not None:
            self._check_values()
        pooling = POOLINGS[self.pooling]
        for field in pooling.needs:
            if not getattr(self, field):
                raise ValueError(
                    f"Expected {field}=True with pooling={self.pooling!r}. Received: {field}=False."
                    ' Use pooling="gap", "map" or "max" for a model without that token.'
                )
        if pooling.keeps_all and self.num_classes:
            raise ValueError(
                f"Expected num_classes=0 with pooling={self.pooling!r}, since a head reads one "
                f"vector an image. Received: num_classes={self.num_classes}."
            )
        if self.position_embedding_prefix_rows > self.num_prefix_tokens:
            raise ValueError(
                "Expected `position_embedding_prefix_rows` to be at most the number of prefix "
                f"tokens, {self.num_prefix_tokens}. "
                f"Received: {self.position_embedding_prefix_rows}."
            )

    def _check_values(self) -> None:
        pairs = self.values
        if (
            len(pairs) != self.num_classes
            or self.multi_label
            or not all(len(pair) == 2 and 0 < pair[1] < math.inf for pair in pairs)
        ):
            raise ValueError(
                "Expected `values` as (mean, deviation above 0) for each of num_classes="
                f"{self.num_classes} outputs, and multi_label=False. Received: values={pairs}, "
                f"multi_label={self.multi_label}. Use values=None for classes."
            )

    def _check_relative_bias(self) -> None:
        geometric = self.relative_position_bias.interpolation == "geometric"
        for field, fits, need in (
            ("rotary", self.rotary is None, "None"),
            ("token_merging", not any(self.merged_per_block), "0, since merged tokens lie nowhere"),
            (
                "dynamic_image_size",
                not (self.dynamic_image_size and geometric),
                "False, since such a bias is resized only as weights are loaded",
            ),
        ):
            if not fits:
                raise ValueError(
                    f"Expected `{field}` with relative_position_bias to be {need}. "
                    f"Received: {field}={getattr(self, field)!r}."
                )

    @property
    def patch_stride(self) -> int:
        """Pixels of the image from one patch to the next."""
        return self.patch_size * (self.hybrid.stride if self.hybrid else 1)

    @property
    def grid_size(self) -> tuple[int, int]:
        """Patches as (rows, columns) at `image_size`."""
        height, width = self.image_size
        return (height // self.patch_stride, width // self.patch_stride)

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens in front of the patches: class, distillation, registers."""
        return int(self.class_token) + int(self.distillation_token) + self.num_register_tokens

    @property
    def num_tokens(self) -> int:
        """Length of the sequence at `image_size`, prefix tokens included."""
        return self.num_prefix_tokens + math.prod(self.grid_size)

    @property
    def merged_per_block(self) -> tuple[int, ...]:
        """Tokens that each block is asked to merge."""
        counts = self.token_merging
        return counts if isinstance(counts, tuple) else (counts,) * self.num_layers

    @property
    def input_shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels) of an image, None where any size is taken."""
        size = (None, None) if self.dynamic_image_size else self.image_size
        return (*size, self.in_channels)

    def replace(self, **changes: Any) -> VisionTransformerConfig:
        """Returns this config with some fields changed and all of it checked again.

        Args:
            **changes: field names and values; an unknown name raises with the nearest ones.
        """
        fields = {field.name for field in dataclasses.fields(self)}
        for name in changes:
            check_name("fields of VisionTransformerConfig", name, fields)
        tokens = {"class_token", "distillation_token", "position_embedding"}
        if tokens & changes.keys():  # the default number of rows follows the tokens
            changes.setdefault("position_embedding_prefix_rows", None)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values that JSON can hold."""
        values = dataclasses.asdict(self)
        values["image_size"] = list(self.image_size)
        if isinstance(self.token_merging, tuple):
            values["token_merging"] = list(self.token_merging)
        if self.values is not None:
            values["values"] = [list(pair) for pair in self.values]
        if self.rotary is not None and self.rotary.reference_grid is not None:
            values["rotary"]["reference_grid"] = list(self.rotary.reference_grid)
        if self.hybrid is not None:
            values["hybrid"]["units_per_stage"] = list(self.hybrid.units_per_stage)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VisionTransformerConfig:
        """Reads what `to_dict` wrote; what follows from the fields may be present and must agree.

        Args:
            values: field names and values, and any of `grid_size`, `num_prefix_tokens`,
                `position_embedding_includes_prefix_tokens`.

        Raises:
            ValueError: an unknown name, an impossible value, or a derived value that disagrees.
        """
        values = dict(values)
        derived = {
            name: values.pop(name)
            for name in (
                "grid_size",
                "num_prefix_tokens",
                "position_embedding_includes_prefix_tokens",
            )
            if name in values
        }
        config = cls().replace(**{"position_embedding_prefix_rows": None, **values})
        for name, value in derived.items():
            expected = getattr(config, name)
            if (tuple(value) if isinstance(value, list) else value) != expected:
                raise ValueError(
                    f"Expected {name}={expected!r}, as follows from the other fields. "
                    f"Received: {name}={value!r}."
                )
        return config

    @property
    def position_embedding_includes_prefix_tokens(self) -> bool:
        """Whether the stored position embedding has rows for prefix tokens."""
        return self.position_embedding_prefix_rows > 0


def config_of(model: Any) -> VisionTransformerConfig:
    """Returns the config of a model of ours, or says that it is another.

    Raises:
        ValueError: another kind of model.
    """
    config = getattr(model, "config", None)
    if isinstance(config, VisionTransformerConfig):
        return config
    inside = [
        layer.name
        for layer in getattr(model, "layers", ())
        if isinstance(getattr(layer, "config", None), VisionTransformerConfig)
    ]
    from keras_vit.images.carrier import layers_alone

    hint = layers_alone(model)
    if inside:
        hint = f" It contains one: pass `model.get_layer({inside[0]!r})`."
    raise ValueError(
        f"Expected a keras_vit.VisionTransformer. Received: {type(model).__name__}.{hint}"
    )
