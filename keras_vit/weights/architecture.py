"""Reads the architecture of a model out of a checkpoint: names and shapes first."""

import math
import re
from collections.abc import Mapping
from typing import Any

from keras_vit.checks import size_pair
from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.models.relative_bias_config import RelativeBiasConfig
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.layouts import BoundCheckpoint
from keras_vit.weights.layouts.bound import PATCHES, POSITIONS
from keras_vit.weights.layouts.features import foreign_model, missing_features

_BLOCK_0 = "encoder_block_0"
# What has heads as its second axis.
_BY_HEADS = ("relative_bias/table", "relative_bias/output/kernel", "rotary/frequencies")


def infer_config(
    bound: BoundCheckpoint, *, stored_grid: tuple[int, int] | None = None, **overrides: Any
) -> VisionTransformerConfig:
    """Returns the config of the model that a checkpoint was saved from.

    What arrays tell is read from them; the rest comes from `overrides`, else from the layout
    (`Layout.read_config`).

    Args:
        bound: a checkpoint whose layout is known (`binding.bind`).
        stored_grid: (rows, columns) of the stored position embedding, where nothing tells it.
        **overrides: fields of `VisionTransformerConfig`.

    Returns:
        The config at the size of the stored position embedding, or at `image_size` if given.

    Raises:
        ValueError: arrays that no Vision Transformer has, or a value that has to be given.
    """
    if bound.config is not None:  # Keras's own file says it all
        return bound.config.replace(**overrides)
    fields = {**told_fields(bound, overrides), **overrides}
    if isinstance(fields["hybrid"], Mapping):
        fields["hybrid"] = HybridConfig.from_dict(fields["hybrid"])
    if POSITIONS not in bound.shapes and "position_embedding" not in fields:
        raise foreign_model(bound.file.path, missing_features([POSITIONS]))
    if fields.get("num_heads") is None:
        fields["num_heads"] = _num_heads(bound, fields)
    fields.update(_positions(bound, fields, stored_grid))
    config = VisionTransformerConfig().replace(**{"position_embedding_prefix_rows": None, **fields})
    _check_amount(bound, config)
    return config


def told_fields(bound: BoundCheckpoint, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a checkpoint tells of the model that it was saved from, as config fields.

    Raises:
        ValueError: features that this package does not have, or as `Layout.read_config` raises.
    """
    if bound.config is not None:
        return dict(vars(bound.config))
    features = bound.layout.foreign_features(bound)
    if features:
        raise foreign_model(bound.file.path, features)
    fields = _shape_fields(bound)
    fields.update(bound.layout.read_config(bound, fields, given))
    fields.setdefault("pooling", "token" if fields["class_token"] else "gap")
    return fields


def adapt_variant(
    name: str, config: VisionTransformerConfig, bound: BoundCheckpoint, **overrides: Any
) -> VisionTransformerConfig:
    """Returns the config of a variant as a checkpoint has it: head, tokens, conventions, size.

    Args:
        name: the variant, for the error.
        config: its config; heads and dropout are taken from it.
        bound: a checkpoint whose layout is known.
        **overrides: as in `infer_config`.

    Raises:
        ValueError: a checkpoint of another variant, or as in `infer_config`.
    """
    kept = ("num_heads", "dropout_rate", "attention_dropout_rate", "drop_path_rate")
    fields = {field: getattr(config, field) for field in kept}
    found = infer_config(bound, **{**fields, **overrides})
    sizes = ("patch_size", "hidden_size", "num_layers", "mlp_dim", "mlp")
    pairs = [(field, getattr(config, field), getattr(found, field)) for field in sizes]
    for field in ("stem_width", "units_per_stage"):
        pairs.append(
            (f"hybrid.{field}", getattr(config.hybrid, field, None),
             getattr(found.hybrid, field, None))
        )  # fmt: skip
    wrong = [f"{n}={have!r} in place of {want!r}" for n, want, have in pairs if have != want]
    wrong = [line for line in wrong if line.split("=")[0] not in overrides]
    if wrong:
        raise ValueError(
            f"Expected weights of {name} in {bound.file.path!r}. Received: {', '.join(wrong)}. "
            "`keras_vit.from_checkpoint` builds the model that fits a file."
        )
    return found


def _shape_fields(bound: BoundCheckpoint) -> dict[str, Any]:
    """Returns the config fields that canonical shapes tell."""
    shapes = bound.shapes
    for name in (f"{_BLOCK_0}/mlp/output/kernel", f"{_BLOCK_0}/attention/output/kernel"):
        if name not in shapes:
            raise ValueError(
                f"Expected the blocks of a Vision Transformer in {bound.file.path!r}. "
                f"Received: nothing that makes {name}. {'; '.join(bound.misfits[:3])}"
            )
    mlp_dim = shapes[f"{_BLOCK_0}/mlp/output/kernel"][0]
    hidden = shapes.get(f"{_BLOCK_0}/mlp/hidden/kernel", (0, 0))
    gated = hidden[-1] == 2 * mlp_dim
    fields = _patches(bound)
    return {
        **fields,
        "num_layers": _num_layers(bound),
        "mlp_dim": mlp_dim,
        "mlp": "swiglu" if gated else "gelu",
        "gelu": None,
        "mlp_bias": f"{_BLOCK_0}/mlp/output/bias" in shapes,
        "mlp_inner_norm": f"{_BLOCK_0}/mlp/output_norm/gamma" in shapes,
        "qkv_bias": f"{_BLOCK_0}/attention/qkv/bias" in shapes,
        "key_bias": _key_bias(bound),
        "attention_output_bias": f"{_BLOCK_0}/attention/output/bias" in shapes,
        "attention_inner_norm": f"{_BLOCK_0}/attention/output_norm/gamma" in shapes,
        "class_token": "patch_encoder/class_token" in shapes,
        "distillation_token": "patch_encoder/distillation_token" in shapes,
        "num_register_tokens": shapes.get("patch_encoder/register_tokens", (1, 0))[1],
        "layer_scale": f"{_BLOCK_0}/attention_scale/gamma" in shapes,
        "qk_norm": _qk_norm(bound, fields["hidden_size"]),
        "pre_norm": "pre_norm/gamma" in shapes,
        "relative_position_bias": _relative_bias(bound),
        **_top(bound, fields["hidden_size"]),
    }


def _key_bias(bound: BoundCheckpoint) -> bool:
    binding = bound.find(f"{_BLOCK_0}/attention/qkv/bias")
    return binding is None or (binding.row.gap is None and binding.row.form != "without_keys")


def _relative_bias(bound: BoundCheckpoint) -> RelativeBiasConfig | None:
    for place, shared in ((f"{_BLOCK_0}/attention/", False), ("", True)):
        if f"{place}relative_bias/table" in bound.shapes:
            return RelativeBiasConfig("table", shared)
        hidden = bound.shapes.get(f"{place}relative_bias/hidden/kernel")
        if hidden is not None:
            return RelativeBiasConfig("mlp", shared, hidden[1])
    return None


def _qk_norm(bound: BoundCheckpoint, hidden_size: int) -> bool | str:
    norm = bound.shapes.get(f"{_BLOCK_0}/attention/query_norm/gamma")
    return "joint" if norm == (hidden_size,) else norm is not None


def _check_amount(bound: BoundCheckpoint, config: VisionTransformerConfig) -> None:
    """Refuses a file that is much too small for its model before that is built."""
    matrices = 3 if config.mlp == "swiglu" else 2
    block = config.hidden_size * (4 * config.hidden_size + matrices * config.mlp_dim)
    needed = config.num_layers * block + math.prod(bound.shapes[PATCHES])
    stored = sum(spec.size for spec in bound.file.specs.values())
    if needed > stored:
        raise ValueError(
            f"Expected at least {needed} values in {bound.file.path!r}, for {config.num_layers} "
            f"blocks of hidden_size={config.hidden_size} and mlp_dim={config.mlp_dim}. Received: "
            f"{stored}. {'; '.join(bound.misfits[:3])}"
        )


def _patches(bound: BoundCheckpoint) -> dict[str, Any]:
    """Patch, channels and hybrid stem, from the kernels that see the image."""
    patch = bound.patch_shape
    if patch is None:
        raise ValueError(
            f"Expected a patch embedding of four axes in {bound.file.path!r}. Received: "
            f"{bound.source_shape(PATCHES)}."
        )
    height, width, channels = patch
    if height != width:
        raise ValueError(
            f"Expected square patches in {bound.file.path!r}. Received: {height}x{width}."
        )
    fields = {
        "patch_size": height,
        "in_channels": channels,
        "patch_bias": "patch_encoder/projection/bias" in bound.shapes,
        "patch_norm": "patch_encoder/norm/gamma" in bound.shapes,
        "hidden_size": bound.shapes[PATCHES][1],
        "hybrid": None,
    }
    root = bound.shapes.get("stem/root/kernel")
    if root is not None:
        fields.update(in_channels=root[2], hybrid=HybridConfig(root[3], bound.stem_units))
    return fields


def _num_layers(bound: BoundCheckpoint) -> int:
    blocks = {int(n[1]) for n in (re.match(r"encoder_block_(\d+)/", s) for s in bound.shapes) if n}
    missing = sorted(set(range(len(blocks))) - blocks)
    if missing:
        raise ValueError(
            f"Expected blocks counted from 0 without gaps in {bound.file.path!r}. Received: "
            f"{len(blocks)} blocks up to {max(blocks)}, without {missing[:10]}."
        )
    return len(blocks)


def _num_heads(bound: BoundCheckpoint, fields: Mapping[str, Any]) -> int:
    """Heads: from arrays with an axis of heads, else of the published variant of these sizes."""
    hidden_size = fields["hidden_size"]
    for name, shape in bound.shapes.items():
        if name.endswith(_BY_HEADS) and len(shape) > 1:
            return shape[1]
    norm = bound.shapes.get(f"{_BLOCK_0}/attention/query_norm/gamma")
    if norm is not None and norm[0] and hidden_size % norm[0] == 0 and norm[0] != hidden_size:
        return hidden_size // norm[0]
    sizes = ("hidden_size", "num_layers", "mlp_dim")
    for variant in VARIANTS.values():
        if all(getattr(variant, size) == fields[size] for size in sizes):
            bound.notes.append(f"num_heads={variant.num_heads}, as published models of its sizes")
            return variant.num_heads
    raise ValueError(
        "Expected `num_heads`, since query, key and value are stored as one matrix, and no "
        f"published model has its sizes ({', '.join(f'{s}={fields[s]}' for s in sizes)}). "
        f"Received: no value for {bound.file.path!r}. Pass `num_heads=`."
    )


def _top(bound: BoundCheckpoint, hidden_size: int) -> dict[str, Any]:
    """What follows the blocks: head, layer before it, projection, and the pooling they tell."""
    shapes = bound.shapes
    head = shapes.get("head/kernel") or shapes.get("head/token/kernel")
    pre_logits, projection = shapes.get("pre_logits/kernel"), shapes.get("projection/kernel")
    top = {
        "num_classes": head[1] if head else 0,
        "pre_logits_size": pre_logits[1] if pre_logits else None,
        "projection_size": projection[1] if projection else None,
    }
    if "pooling/probe" in shapes:
        top["pooling"] = "map"
        top["pooling_mlp_dim"] = shapes.get("pooling/mlp/hidden/kernel", (0, None))[1]
    elif "head/token/kernel" in shapes:
        top["pooling"] = "token+distillation"
    elif head and head[0] == 2 * hidden_size and not pre_logits:
        top["pooling"] = "token+gap"
    return top


def _positions(bound, fields, stored_grid) -> dict[str, Any]:
    """Prefix rows of the position embedding, and the size of the image."""
    stride = bound.patch_stride
    size, stated = fields.get("image_size"), bound.layout.stated_size(bound)
    likely = None
    if size is not None:
        likely = tuple(side // stride for side in size_pair("image_size", size))
    bound.settle_grid(stored_grid, likely)
    if POSITIONS not in bound.shapes:
        grid = bound.bias_grid
        stored = grid and tuple(side * stride for side in grid)
        return {
            "image_size": size or stated or stored or (224 if 224 % stride == 0 else stride * 16)
        }
    found: dict[str, Any] = {}
    if fields.get("position_embedding_prefix_rows") is None:
        found["position_embedding_prefix_rows"] = bound.prefix_rows
    whole = tuple(side * stride for side in bound.stored_grid)
    asked = None if size is None else size_pair("image_size", size)
    if asked not in (None, whole) and likely == bound.stored_grid:
        # So400m/14 at 384 pixels, which nothing in a bare file tells.
        found["drop_remainder"] = fields.get("drop_remainder", True)
        bound.notes.append(f"patches cover {whole} of {asked} pixels, as its authors run it")
    if stated and tuple(side // stride for side in stated) == bound.stored_grid:
        # As in So400m/14 at 384 pixels, whose last 6 no patch sees.
        found["drop_remainder"] = fields.get("drop_remainder", stated != whole)
        whole = stated
    if size is None:
        found["image_size"] = stated if stated and bound.layout.any_grid else whole
    return found
