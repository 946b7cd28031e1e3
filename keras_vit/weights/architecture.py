"""Reads the architecture of a model out of a checkpoint: names and shapes first."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.binding import BoundCheckpoint
from keras_vit.weights.conventions import config_fields

_HEAD_DIM = 64


def infer_config(bound: BoundCheckpoint, **overrides: Any) -> VisionTransformerConfig:
    """Returns the config of the model that a checkpoint was saved from.

    What arrays tell is read from them. The rest comes from `overrides`, else from `config.json`,
    else from the convention of the layout: 64 numbers a head unless a published variant of these
    sizes has another number, a square grid, tanh GELU for Google and erf for timm.

    Args:
        bound: a checkpoint whose layout is known (`binding.bind`).
        **overrides: fields of `VisionTransformerConfig`; `image_size` is that of the model and
            tells the grid of the stored position embedding where this is not square.

    Returns:
        The config at the size of the stored position embedding, or at `image_size` if given.

    Raises:
        ValueError: arrays that no Vision Transformer has, or a value that has to be given.
    """
    if bound.config is not None:  # Keras's own file says it all
        return bound.config.replace(**overrides)
    shapes = bound.shapes
    for name in ("encoder_block_0/mlp/output/kernel", "encoder_block_0/attention/output/kernel"):
        if name not in shapes:
            raise ValueError(
                f"Expected the blocks of a Vision Transformer in {bound.file.path!r}. "
                f"Received: nothing that makes {name}. {'; '.join(bound.misfits[:3])}"
            )
    fields = config_fields(bound)
    stored_size, stated_heads = fields.pop("image_size", None), fields.pop("num_heads", None)
    fields.update(_patches(bound))
    hidden_size = fields["hidden_size"]
    fields.update(
        num_layers=_num_layers(bound),
        mlp_dim=shapes["encoder_block_0/mlp/output/kernel"][0],
        qkv_bias="encoder_block_0/attention/qkv/bias" in shapes,
        class_token="patch_encoder/class_token" in shapes,
        distillation_token="patch_encoder/distillation_token" in shapes,
        num_register_tokens=shapes.get("patch_encoder/register_tokens", (1, 0))[1],
        layer_scale="encoder_block_0/attention_scale/gamma" in shapes,
        qk_norm="encoder_block_0/attention/query_norm/gamma" in shapes,
        pre_norm="pre_norm/gamma" in shapes,
    )
    hidden = shapes.get("encoder_block_0/mlp/hidden/kernel", (0, 0))
    fields["mlp"] = "swiglu" if hidden[-1] == 2 * fields["mlp_dim"] else "gelu"
    if fields["mlp"] == "swiglu":
        fields["gelu"] = None
    fields.update(_top(bound, fields))
    fields.update(overrides)
    if isinstance(fields["hybrid"], Mapping):
        fields["hybrid"] = HybridConfig.from_dict(fields["hybrid"])
    if fields.get("num_heads") is None:
        fields["num_heads"] = _num_heads(bound, fields, stated_heads)
    fields.update(_positions(bound, fields, stored_size, overrides.get("image_size")))
    if hidden_size % fields["num_heads"]:
        raise ValueError(
            f"Expected `num_heads` to divide the hidden size of {hidden_size}. Received: "
            f"num_heads={fields['num_heads']}, which no array of {bound.file.path!r} tells. "
            "Pass `num_heads=`."
        )
    return VisionTransformerConfig.from_dict(fields)


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


def _patches(bound: BoundCheckpoint) -> dict[str, Any]:
    """Patch, channels and hybrid stem, from the kernels that see the image."""
    stored = bound.source_shape("patch_encoder/projection/kernel")
    if stored is None or len(stored) != 4:
        raise ValueError(
            f"Expected a patch embedding of four axes in {bound.file.path!r}. Received: {stored}."
        )
    torch = bound.layout.name != "google"
    height, width = stored[2:] if torch else stored[:2]
    channels = stored[1] if torch else stored[2]
    if height != width:
        raise ValueError(
            f"Expected square patches in {bound.file.path!r}. Received: {height}x{width}."
        )
    fields = {
        "patch_size": height,
        "in_channels": channels,
        "patch_bias": "patch_encoder/projection/bias" in bound.shapes,
        "hidden_size": bound.shapes["patch_encoder/projection/kernel"][1],
        "hybrid": None,
    }
    root = bound.shapes.get("stem/root/kernel")
    if root is not None:
        fields.update(in_channels=root[2], hybrid=_hybrid(bound, root[3]))
    return fields


def _hybrid(bound: BoundCheckpoint, stem_width: int) -> HybridConfig:
    units: dict[int, int] = {}
    for name in bound.shapes:
        found = re.fullmatch(r"stem/stage_(\d+)/unit_(\d+)/conv1/kernel", name)
        if found:
            units[int(found[1])] = units.get(int(found[1]), 0) + 1
    style = {}
    if bound.layout.name == "timm":
        style = {
            "group_norm_epsilon": 1e-5,
            "weight_standardization": "variance_plus_epsilon",
            "weight_standardization_epsilon": 1e-8,
        }
    return HybridConfig(stem_width, tuple(units[stage] for stage in sorted(units)), **style)


def _num_layers(bound: BoundCheckpoint) -> int:
    blocks = {int(n[1]) for n in (re.match(r"encoder_block_(\d+)/", s) for s in bound.shapes) if n}
    missing = sorted(set(range(len(blocks))) - blocks)
    if missing:
        raise ValueError(
            f"Expected blocks counted from 0 without gaps in {bound.file.path!r}. Received: "
            f"{len(blocks)} blocks up to {max(blocks)}, without {missing[:10]}."
        )
    return len(blocks)


def _num_heads(bound: BoundCheckpoint, fields: Mapping[str, Any], stated: int | None) -> int:
    """Heads, from the shapes of Flax and of qk norms, else as `infer_config` says."""
    hidden_size = fields["hidden_size"]
    query = bound.source_shape("encoder_block_0/attention/qkv/kernel")
    if query is not None and len(query) == 3:
        return query[1]
    norm = bound.shapes.get("encoder_block_0/attention/query_norm/gamma")
    if norm is not None and norm[0] and hidden_size % norm[0] == 0:
        return hidden_size // norm[0]
    if stated is not None:
        return stated
    sizes = ("hidden_size", "num_layers", "mlp_dim")
    for variant in VARIANTS.values():
        if all(getattr(variant, size) == fields[size] for size in sizes):
            return variant.num_heads
    if hidden_size % _HEAD_DIM:
        raise ValueError(
            "Expected `num_heads`, since query, key and value are stored as one matrix and "
            f"{hidden_size} is not made of heads of {_HEAD_DIM}. Received: no value for "
            f"{bound.file.path!r}. Pass `num_heads=`."
        )
    return hidden_size // _HEAD_DIM


def _top(bound: BoundCheckpoint, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What follows the blocks: pooling, layer before the head, projection, head."""
    shapes = bound.shapes
    head = shapes.get("head/kernel") or shapes.get("head/token/kernel")
    top: dict[str, Any] = {"num_classes": head[1] if head else 0, "final_norm": "tokens"}
    pre_logits, projection = shapes.get("pre_logits/kernel"), shapes.get("projection/kernel")
    top["pre_logits_size"] = pre_logits[1] if pre_logits else None
    top["projection_size"] = projection[1] if projection else None
    norm = bound.find("encoder_norm/gamma")
    if norm is not None and norm.sources[0].endswith("fc_norm.weight"):
        top.update(pooling="gap", final_norm="pooled")
    elif "pooling/probe" in shapes:
        top["pooling"] = "map"
    elif "head/token/kernel" in shapes:
        top["pooling"] = "token+distillation"
    elif head and head[0] == 2 * fields["hidden_size"] and not pre_logits:
        top["pooling"] = "token+gap"
    elif bound.layout.name == "google" and not head and not pre_logits:
        # Without a head vit_jax returns every token; big_vision (positions at the root) the mean.
        position = bound.find("patch_encoder/position_embedding")
        rooted = position is None or "posembed_input" not in position.sources[0]
        rooted = rooted and not fields["class_token"]
        top["pooling"] = "gap" if rooted else "none"
    else:
        top["pooling"] = "token" if fields["class_token"] else "gap"
    return top


def _positions(bound, fields, stored_size, image_size) -> dict[str, Any]:
    """Kind and prefix rows of the position embedding, and the size of the image."""
    stride = fields["patch_size"] * (fields["hybrid"].stride if fields["hybrid"] else 1)
    stored = bound.shapes.get("patch_encoder/position_embedding")
    if stored is None:
        size = image_size or stored_size or (224 if 224 % stride == 0 else stride * 16)
        return {"position_embedding": "sincos2d", "image_size": size}
    target = _grid(image_size, stride)
    rows, grid = split_positions(bound, stored[1], fields, target or _grid(stored_size, stride))
    result = {"position_embedding": "learned"}
    if fields.get("position_embedding_prefix_rows") is None:
        result["position_embedding_prefix_rows"] = rows
    result["image_size"] = image_size or (grid[0] * stride, grid[1] * stride)
    return result


def _grid(image_size: Any, stride: int) -> tuple[int, int] | None:
    if image_size is None:
        return None
    height, width = (image_size, image_size) if hasattr(image_size, "__index__") else image_size
    return (height // stride, width // stride)


def split_positions(
    bound: BoundCheckpoint,
    num_rows: int,
    tokens: Mapping[str, Any],
    grid: tuple[int, int] | None = None,
) -> tuple[int, tuple[int, int]]:
    """Tells the rows of prefix tokens from those of patches in a stored position embedding.

    Args:
        bound: the checkpoint.
        num_rows: rows of the stored table.
        tokens: `class_token`, `distillation_token` and `num_register_tokens` of the checkpoint.
        grid: (rows, columns) that a table of the same number of patches is taken to have; else the
            grid is square.

    Returns:
        The number of prefix rows, and the grid (rows, columns).

    Raises:
        ValueError: no square grid, and none given that fits.
    """
    if bound.config is not None:
        return bound.config.position_embedding_prefix_rows, bound.config.grid_size
    leading = int(tokens["class_token"]) + int(tokens["distillation_token"])
    binding = bound.find("patch_encoder/position_embedding")
    if bound.layout.name == "google":  # big_vision adds positions before the class token comes
        rooted = "posembed_input" not in binding.sources[0]
        candidates = [0] if rooted else [leading]
    elif bound.layout.name == "timm":
        candidates = [leading, 0, leading + tokens["num_register_tokens"]]
    else:
        candidates = [leading]
    if grid is not None:
        for rows in candidates:
            if num_rows - rows == grid[0] * grid[1]:
                return rows, grid
    for rows in candidates:
        side = math.isqrt(max(num_rows - rows, 0))
        if side and side * side == num_rows - rows:
            return rows, (side, side)
    raise ValueError(
        f"Expected a square grid of positions in {bound.file.path!r}, or its size as an argument. "
        f"Received: {num_rows} rows, {' or '.join(map(str, sorted(set(candidates))))} of them for "
        "prefix tokens. Pass `image_size=(height, width)` of the stored grid."
    )
