"""What a layout is: all that is known of the files of one family of libraries."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import HybridConfig, VisionTransformerConfig
from keras_vit.weights.files.arrays import ArrayFile
from keras_vit.weights.files.suffixes import SAFETENSORS
from keras_vit.weights.forms import FORMS, Sizes, joined
from keras_vit.weights.layouts.bound import BoundCheckpoint
from keras_vit.weights.layouts.features import stored_features
from keras_vit.weights.layouts.matching import bind_names
from keras_vit.weights.rows import Row, fill, match


class Layout:
    """How one family of libraries names and prepares what is in its files.

    A subclass owns all that is known of them; what is read from canonical shapes alone is shared
    (`weights/architecture.py`).

    Attributes:
        name: `"google"`, `"timm"`, `"huggingface"`, `"keras-hub"` or `"keras"`.
        signature: a name that every file of this layout has, after its prefix.
        prefixes: what may stand in front of the names, most telling first.
        rows: the table of names.
        ignored: patterns of names, as they are without a wrapper, that are left out: text towers,
            buffers, optimizer state.
        suffix: that of the file with the weights.
        read_only: why no model is saved in it, or "".
        any_grid: whether positions are stored for any grid, not for that of the stated image.
        prefixed_only: whether names without the prefix belong to something else.
        expresses: fields that it has a place for and most layouts have not; `checks` says which
            values.
        published: patterns of names that files have, where a model in memory has others.
    """

    name = ""
    signature = ""
    prefixes: tuple[str, ...] = ("",)
    rows: tuple[Row, ...] = ()
    ignored: tuple[str, ...] = ()
    suffix = SAFETENSORS
    read_only = ""
    any_grid = False
    prefixed_only = False
    expresses: tuple[str, ...] = ()
    published: tuple[str, ...] = ()

    def bind(self, file: ArrayFile) -> BoundCheckpoint | None:
        """Says what each array of a file makes; None for a file of another layout.

        Args:
            file: an open checkpoint.
        """
        return bind_names(self, file)

    def table_name(self, name: str) -> str:
        """Returns the name that the table has for a name in the file, which has no prefix."""
        return name

    def read_config(
        self, bound: BoundCheckpoint, fields: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the config fields that shapes alone do not tell.

        Args:
            bound: a checkpoint of this layout.
            fields: those that shapes tell.
            given: those that the user says, which take the place of all others.

        Returns:
            Fields of `VisionTransformerConfig`; they take the place of those in `fields`.

        Raises:
            ValueError: a config beside the file that does not belong to the arrays, or says what no
                field expresses.
        """
        raise NotImplementedError

    def foreign_features(self, bound: BoundCheckpoint) -> list[str]:
        """Names the features of a model that this package does not have, as its names tell them.

        Args:
            bound: a checkpoint of this layout.
        """
        return stored_features(bound.unexpected)

    def position_rows(self, bound: BoundCheckpoint) -> Sequence[int]:
        """Returns how many rows of the position embedding may belong to prefix tokens."""
        return [sum(f"patch_encoder/{token}_token" in bound.shapes for token in _LEADING)]

    def stated_size(self, bound: BoundCheckpoint) -> tuple[int, int] | None:
        """Returns the (height, width) in pixels that a config beside the file says, or None."""
        return None

    def preprocessing(
        self, bound: BoundCheckpoint, size: tuple[int, int], channels: int
    ) -> Preprocessing:
        """Returns how the images of a checkpoint are prepared.

        Args:
            bound: a checkpoint of this layout.
            size: (height, width) in pixels that the model takes.
            channels: channels of the image.

        Returns:
            What a config beside the file says, else what the family was published with.
        """
        fields = self.prepare(bound, size)
        if channels != 3:
            half = (0.5,) * channels
            fields.update(mean=half, std=half)
        return Preprocessing(size=size, **fields)

    def prepare(self, bound: BoundCheckpoint, size: tuple[int, int]) -> dict[str, Any]:
        """Returns the fields of `preprocessing` that differ from the defaults."""
        return {}

    def suits(self, config: VisionTransformerConfig) -> bool:
        """Whether this is the layout, of all with its name, that a model is saved in."""
        return True

    def checks(self, config: VisionTransformerConfig) -> list[tuple[str, Any, str]]:
        """Returns (field, whether the layout has a place for its value, what it needs)."""
        raise NotImplementedError

    def obstacles(self, config: VisionTransformerConfig) -> list[str]:
        """Returns what the layout has no place for, as `field=value (what it needs)`.

        Args:
            config: the architecture.

        Returns:
            One line a field; an empty list where the layout can express the model.
        """
        plain = [
            (field, getattr(config, field) == getattr(VisionTransformerConfig, field), "never")
            for field in _PLAIN
        ]
        ends = [
            ("final_norm", config.final_norm != "none", "there always is one"),
            ("position_embedding", config.position_embedding != "none", "there always is one"),
        ]
        found = {
            field: f"{field}={getattr(config, field)!r} ({need})"
            for field, fits, need in [*plain, *ends]
            if not fits and field not in self.expresses
        }
        for field, fits, need in self.checks(config):
            if not fits:
                found.setdefault(field, f"{field}={getattr(config, field)!r} ({need})")
        return list(found.values())

    def target(self, path: Any) -> Path:
        """Returns the file that the weights are written to.

        Raises:
            ValueError: a path of another kind.
        """
        target = Path(path)
        if target.suffix != self.suffix or target.is_dir():
            raise ValueError(
                f"Expected a path that ends in {self.suffix} for the {self.name} layout. "
                f"Received: {os.fspath(path)!r}."
            )
        return target

    def avoided(self, config: VisionTransformerConfig) -> tuple[str, ...]:
        """Returns patterns of rows, by their source names, that a saved model has not."""
        return ()

    def full_name(self, name: str, config: VisionTransformerConfig) -> str:
        """Returns the name in the file for a name of the table."""
        return name

    @property
    def module_prefixes(self) -> tuple[str, ...]:
        """What may stand in front of the names of modules in memory, most telling first."""
        return self.prefixes

    def module_name(self, name: str, config: VisionTransformerConfig) -> str:
        """Returns the name in memory for a name of the table."""
        return self.full_name(name, config)

    def modules(self, layer: str, config: VisionTransformerConfig) -> tuple[str, ...]:
        """Returns the modules of torch whose weights, side by side, make the kernel of a layer.

        Args:
            layer: canonical name, such as `"encoder_block_0/attention/qkv"`.
            config: the architecture.
        """
        row, numbers = _row_for(f"{layer}/kernel", self._saved_rows(config, self.published))
        names = (self.module_name(fill(source, numbers), config) for source in row.sources)
        return tuple(name.removesuffix(".weight") for name in names)

    def _saved_rows(self, config: VisionTransformerConfig, more: tuple[str, ...] = ()) -> list[Row]:
        avoided = (*self.avoided(config), *more)
        return [
            row
            for row in self.rows
            if not any(re.search(part, " ".join(row.sources)) for part in avoided)
        ]

    def write_arrays(
        self, values: Mapping[str, np.ndarray], config: VisionTransformerConfig
    ) -> dict[str, np.ndarray]:
        """Turns canonical arrays into stored ones.

        Args:
            values: arrays by canonical name.
            config: the architecture.

        Returns:
            Arrays by their name in the file; the first row that makes a variable counts.
        """
        sizes, rows = Sizes(config.patch_size, config.num_heads), self._saved_rows(config)
        rows.sort(key=lambda row: row.stacked is not None)  # where nothing else has the variable
        arrays: dict[str, np.ndarray] = {}
        done: set[str] = set()
        for name in values:
            if name in done:
                continue
            row, numbers = _row_for(name, rows)
            blocks = [numbers]
            if row.stacked is not None:
                blocks = [{**numbers, "i": block} for block in range(config.num_layers)]
            stored = []
            for each in blocks:
                targets = [fill(target, each) for target in row.targets]
                done.update(targets)
                whole = joined([values[target] for target in targets])
                stored.append([FORMS[row.form].back(part, sizes) for part in _parts(whole, row)])
            for place, source in enumerate(row.sources):
                array = stored[0][place]
                if row.stacked is not None:
                    array = np.stack([each[place] for each in stored], row.stacked)
                full_name = self.full_name(fill(source, numbers), config)
                arrays[full_name] = np.ascontiguousarray(array)
        return arrays

    def write_config(
        self, config: VisionTransformerConfig, preprocessing: Preprocessing
    ) -> dict[str, dict[str, Any]]:
        """Returns the JSON files that stand beside the weights, by their name.

        Args:
            config: the architecture.
            preprocessing: how its images are prepared.
        """
        return {}


# Fields that no layout here has a place for but in their default.
_PLAIN = (
    "norm", "attention_output_bias", "attention_inner_norm", "mlp_bias", "mlp_inner_norm", "rotary",
    "patch_norm", "pooling_num_heads", "pooling_mlp_dim", "relative_position_bias",
)  # fmt: skip
_LEADING = ("class", "distillation")
_HYBRID_STYLE = (
    "group_norm_groups",
    "group_norm_epsilon",
    "weight_standardization",
    "weight_standardization_epsilon",
)


def hybrid_fits(hybrid: HybridConfig | None, style: HybridConfig) -> bool:
    """Whether a ResNet, where there is one, computes its norms as another does."""
    return hybrid is None or all(getattr(hybrid, f) == getattr(style, f) for f in _HYBRID_STYLE)


def _parts(whole: np.ndarray, row: Row) -> list[np.ndarray]:
    """Cuts a canonical array into what each source of a row has of it."""
    gap = row.gap
    parts = np.split(whole, len(row.sources) + (gap is not None), axis=-1)
    if gap is not None and parts.pop(gap).any():
        raise ValueError(
            f"Expected zeros in the part of {row.targets[0]} that has no array beside "
            f"{', '.join(row.sources)}. Received: other numbers. Save it in another layout."
        )
    return parts


def _row_for(name: str, rows: list[Row]) -> tuple[Row, dict[str, int]]:
    for row in rows:
        for target in row.targets:
            numbers = match(target, name)
            if numbers is not None:
                return row, numbers
    raise ValueError(f"Expected a variable that the layout has a name for. Received: {name!r}.")
