"""Loads a checkpoint into a model: everything is checked, then everything is assigned."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_choice
from keras_vit.layers.position_resize import resize_positions
from keras_vit.models.config import config_of
from keras_vit.weights.architecture import told_fields
from keras_vit.weights.binding import bind
from keras_vit.weights.download import local_path
from keras_vit.weights.files.arrays import FLOAT_BYTES
from keras_vit.weights.files.keras_archive import canonical_variables, open_keras
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.files.preset import is_preset
from keras_vit.weights.files.run_checkpoint import is_run_checkpoint, open_run_checkpoint
from keras_vit.weights.files.suffixes import is_keras_model, needs_model
from keras_vit.weights.layouts import BoundCheckpoint
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.features import missing_features, stored_features
from keras_vit.weights.refits import Refit, find_refits

_COMPARED = ("gelu", "layer_norm_epsilon")  # what changes every output, and no array shows
# How many lines of what does not fit are shown, and how many where a feature explains it.
_MOST_LINES, _MOST_EXPLAINED = 200, 12
HEADS = ("auto", "keep", "reset")
_TOP = ("pooling", "pre_logits", "projection", "head")
_CLASS_TOKEN = "patch_encoder/class_token"


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of every array of a checkpoint and of every weight of a model.

    Attributes:
        source: the file.
        layout: `"google"`, `"timm"`, `"huggingface"` or `"keras"`.
        loaded: canonical names of the weights that were set from the file.
        resized: those of them that were made to fit the grid, patches or channels of the model.
        left_out: names in the file that were not used: text towers, buffers, a replaced head.
        fresh: canonical names of the weights that were set to zero: the replaced head.
        notes: a line for each resizing and replacement, with the sizes, and for what was taken from
            published models of the same shapes, or guessed.
    """

    source: str
    layout: str
    loaded: tuple[str, ...]
    resized: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} weights loaded from {self.source} ({self.layout} layout)"]
        lines += [f"  {note}" for note in self.notes]
        if self.left_out:
            shown = ", ".join(self.left_out[:8]) + (", ..." if len(self.left_out) > 8 else "")
            lines.append(f"  {len(self.left_out)} arrays left out: {shown}")
        if self.fresh:
            lines.append(f"  set to zero: {', '.join(self.fresh)}")
        return "\n".join(lines)


def load_weights(
    model: keras.Model,
    source: Any,
    *,
    head: str = "auto",
    channels: Sequence[int | None] | None = None,
) -> LoadReport:
    """Loads a checkpoint into a model, or changes nothing and says all that does not fit.

    Args:
        model: a `VisionTransformer`; its position embedding keeps its grid, and the stored one is
            resized to it as `model.config.position_embedding_interpolation` says. A patch kernel
            of another size is resized by its pseudo-inverse (FlexiViT). Adapters stay as they are.
        source: an `.npz`, `.safetensors`, `.keras` or `.weights.h5` file, a folder with one or of a
            keras-hub preset, or an address (`"hf://owner/repo"`, `"https://..."`). The
            layout is found from the names.
        head: `"auto"` loads the head, but replaces one of another number of classes, or one that
            the checkpoint lacks, by a fresh head of zeros; `"keep"` loads the head and nothing
            else will do; `"reset"` always makes a fresh one.
        channels: for each channel of the model the one of the checkpoint that it is read as, or
            None for one that is not read. Without, other channels than the checkpoint's are fitted
            as timm does: one is read as all, more as the stored ones in turn.

    Returns:
        What was loaded, resized and left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file, or arrays that do not fit; one error lists all missing,
            unexpected and mis-shaped names, and the model is as it was.
    """
    config_of(model)
    return assign(model, open_source(source, model), head=head, channels=channels, compare=True)


def open_source(source: Any, model: keras.Model | None = None) -> BoundCheckpoint:
    """Opens a checkpoint of any kind, fetching it first where `source` is an address.

    Args:
        source: a path or an address, as in `load_weights`.
        model: a model of the same architecture; a `.weights.h5` file does not say its own.
    """
    path = local_path(source)
    if is_keras_model(path) or (needs_model(path) and not is_preset(path)):
        return open_keras(path, model)
    if is_run_checkpoint(path):
        return open_run_checkpoint(path)
    return bind(open_checkpoint(path))


def assign(
    model: keras.Model,
    bound: BoundCheckpoint,
    *,
    head: str = "auto",
    channels: Sequence[int | None] | None = None,
    careful: bool = True,
    compare: bool = False,
) -> LoadReport:
    """Loads an open checkpoint into a model.

    Args:
        model: a `VisionTransformer`.
        bound: the checkpoint.
        head: as in `load_weights`.
        channels: as in `load_weights`.
        careful: whether all values are read and checked before the first is assigned. False needs
            half the memory; for a new model, which is thrown away when the values are not finite.
        compare: whether what the checkpoint tells is compared with the config of the model, where
            that was not read from it.

    Returns:
        What was loaded, resized and left out.

    Raises:
        ValueError: as in `load_weights`.
    """
    check_choice("head", head, HEADS)
    config = config_of(model)
    variables = canonical_variables(model)
    plan = _Plan(config, bound, {n: tuple(v.shape) for n, v in variables.items()})
    plan.decide_head(head)
    plan.decide_positions()
    plan.decide_refits(channels)
    plan.check()
    if compare:
        plan.compare()

    held, values = {}, plan.values()
    if careful:
        held = dict(values)
        values = ((name, held.pop(name).view(_GivenArray)) for name in list(held))
    for name, array in values:
        variables[name].assign(array)
    for name in plan.fresh:
        variables[name].assign(np.zeros(plan.wanted[name], "float32"))
    model.source_layout = bound.layout.name
    return plan.report()


class _GivenArray(np.ndarray):
    """An array that nobody else has, of which TensorFlow need not make the copy that it makes.

    It saves time where all arrays are held anyway. One at a time, the copy costs less memory: it
    fits where the old values were.
    """

    def copy(self, order: str = "C") -> np.ndarray:
        """Returns itself."""
        return self


def _has_key_bias(name: str, array: np.ndarray) -> bool:
    return name.endswith("attention/qkv/bias") and bool(np.split(array, 3)[1].any())


def _is_finite(array: np.ndarray) -> bool:
    """Says whether all values are finite; one sum tells, unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


class _Plan:
    """What will become of every name, decided from names and shapes alone."""

    def __init__(self, config: Any, bound: BoundCheckpoint, wanted: Mapping[str, tuple[int, ...]]):
        self.config = config
        self.bound = bound
        self.wanted = dict(wanted)
        self.offered = dict(bound.shapes)
        self.fresh: list[str] = []
        self.dropped: list[str] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.positions: tuple[int, tuple[int, int]] | None = None
        self.refits: dict[str, Refit] = {}

    def decide_head(self, head: str) -> None:
        """Chooses between the head of the file and a fresh one; drops what the model has not."""
        own = {n: shape for n, shape in self.wanted.items() if n.startswith("head/")}
        theirs = {n: shape for n, shape in self.offered.items() if n.startswith("head/")}
        counts = [{shape[-1] for shape in group.values()} for group in (own, theirs)]
        if own and (head == "reset" or (head == "auto" and counts[0] != counts[1])):
            self.fresh = list(own)
            self.dropped += theirs
            old = f"{counts[1].pop()} classes" if theirs else "none"
            self.notes.append(f"head: replaced, {old} -> {counts[0].pop()} classes")
        if own and not self.fresh:
            return  # the head of the file reads what the file makes: nothing can be dropped
        present = {name.split("/")[0] for name in self.wanted}
        for part in _TOP:
            if part not in present:
                self.dropped += [n for n in self.offered if n.startswith(f"{part}/")]

    def decide_positions(self) -> None:
        """Finds prefix rows and grid of the stored position embedding."""
        stored, own = self.offered.get(POSITIONS), self.wanted.get(POSITIONS)
        if stored is None or own is None or len(stored) != 3 or stored[2] != own[2]:
            return
        try:
            self.bound.settle_grid(likely=self.config.grid_size, square_first=False)
        except ValueError as error:
            self.problems.append(str(error))
            return
        rows, grid = self.bound.prefix_rows, self.bound.stored_grid
        own_rows = self.config.position_embedding_prefix_rows
        if rows != own_rows and {rows, own_rows} != {0, 1}:
            return  # reported as a wrong shape
        self.positions = (rows, grid)
        if grid != self.config.grid_size:
            sizes = " -> ".join("x".join(map(str, g)) for g in (grid, self.config.grid_size))
            kind = self.config.position_embedding_interpolation
            self.notes.append(f"{POSITIONS}: resized, grid {sizes} ({kind})")
        if rows > own_rows:
            self.notes.append(f"{POSITIONS}: its row of the class token was added to that token")

    def decide_refits(self, channels: Sequence[int | None] | None) -> None:
        """Finds what else has to be made to fit."""
        try:
            self.refits = dict(find_refits(self.config, self.bound, self.wanted, channels))
        except ValueError as error:
            self.problems.append(str(error))
        self.notes += [refit.note for refit in self.refits.values()]

    def check(self) -> None:
        """Raises one error with all that does not fit."""
        bound = self.bound
        offered = {n: s for n, s in self.offered.items() if n not in set(self.dropped)}
        needed = {n: s for n, s in self.wanted.items() if n not in set(self.fresh)}
        lines = [*self.problems, *(f"not usable: {line}" for line in bound.misfits)]
        lines += [f"missing: {n} {needed[n]}" for n in needed if n not in offered]
        lines += [
            f"unexpected: {self._source(n)} (makes {n} {offered[n]})"
            for n in offered
            if n not in needed
        ]
        lines += [f"unexpected: {name}" for name in bound.unexpected]
        for name in needed.keys() & offered.keys():
            fits = name in self.refits or (name == POSITIONS and self.positions)
            if offered[name] != needed[name] and not fits:
                lines.append(
                    f"wrong shape: {self._source(name)} makes {name} {offered[name]}, "
                    f"the model has {needed[name]}"
                )
        for binding in bound.bindings:
            if not needed.keys().isdisjoint(binding.targets):
                lines += [
                    f"wrong dtype: {name} has {bound.file.specs[name].dtype}"
                    for name in binding.sources
                    if bound.file.specs[name].dtype not in FLOAT_BYTES
                ]
        if lines:
            lines = list(dict.fromkeys(lines))
            features = missing_features(sorted(needed.keys() - offered.keys()))
            features = [*stored_features(bound.unexpected), *features]
            named = f" {'; '.join(features)}," if features else ""
            count, most = len(lines), _MOST_EXPLAINED if features else _MOST_LINES
            if count > most:
                lines[most:] = [f"and {count - most} more"]
            raise ValueError(
                f"Expected the weights of this model in {bound.file.path!r} ({bound.layout.name} "
                f"layout). Received:{named} with {count} misfits, and nothing was changed:"
                "\n  " + "\n  ".join(lines)
            )

    def compare(self) -> None:
        """Says in which fields that no array shows the model is another than the checkpoint's."""
        told = told_fields(self.bound, {})
        heads = told.get("num_heads", self.config.num_heads)
        if heads != self.config.num_heads:
            raise ValueError(
                f"Expected a model of num_heads={heads} for {self.bound.file.path!r}. Received: "
                f"num_heads={self.config.num_heads}. Nothing was changed."
            )
        fields = _COMPARED
        if not self.fresh and self.config.num_classes:
            fields = (*fields, "pooling", "final_norm", "pooling_includes_prefix_tokens")
        for name in fields:
            own = getattr(self.config, name)
            if name in told and told[name] != own:
                self.bound.guess(
                    f"the checkpoint was made with {name}={told[name]!r}, the model has {own!r}"
                )

    def _source(self, name: str) -> str:
        binding = self.bound.find(name)
        return " + ".join(binding.sources)

    def values(self):
        """Yields canonical names and the values to assign; raises where one is not finite."""
        bad = []
        wanted = set(self.wanted) - set(self.fresh)
        class_token = position = None
        for name, array in self.bound.arrays(wanted):
            if name in self.refits:
                array = self.refits[name].apply(array)
            if not _is_finite(array):
                bad.append(name)
            elif not self.config.key_bias and _has_key_bias(name, array):
                raise ValueError(
                    f"Expected biases of 0 for the keys in {self.bound.file.path!r}, as the model "
                    f"has key_bias=False. Received: others, which make {name}. "
                    "`keras_vit.from_checkpoint` builds the model that fits a file."
                )
            elif name == _CLASS_TOKEN and self.positions:
                class_token = array
            elif name == POSITIONS and self.positions:
                position = array
            elif not bad:
                yield name, array
        if bad:
            raise ValueError(
                f"Expected finite numbers in {self.bound.file.path!r}. Received: NaN or infinity "
                f"in what makes {', '.join(bad)}. Nothing was changed."
            )
        if position is not None:
            position, class_token = self._fit_positions(position, class_token)
            yield POSITIONS, position
        if class_token is not None:
            yield _CLASS_TOKEN, class_token

    def _fit_positions(self, table: np.ndarray, class_token: np.ndarray | None):
        """Resizes the table to the grid of the model, and gives it the model's prefix rows."""
        rows, grid = self.positions
        own_rows, own_grid = self.config.position_embedding_prefix_rows, self.config.grid_size
        if grid != own_grid:
            kind = self.config.position_embedding_interpolation
            table = np.asarray(resize_positions(table, grid, own_grid, rows, kind))
        if rows > own_rows and class_token is not None:
            class_token = class_token + table[:, :1]
            table = table[:, 1:]
        elif rows < own_rows:
            table = np.concatenate([np.zeros_like(table[:, :1]), table], axis=1)
        return table, class_token

    def report(self) -> LoadReport:
        loaded = [name for name in self.wanted if name not in set(self.fresh)]
        resized = list(self.refits)
        if self.positions is not None and self.positions[1] != self.config.grid_size:
            resized.insert(0, POSITIONS)
        dropped = [s for n in self.dropped for s in self.bound.find(n).sources]
        if self.bound.decoder:
            self.notes.append(f"decoder: left out, {len(self.bound.decoder)} arrays")
        return LoadReport(
            source=self.bound.file.path,
            layout=self.bound.layout.name,
            loaded=tuple(loaded),
            resized=tuple(resized),
            left_out=tuple(dict.fromkeys([*dropped, *self.bound.ignored])),
            fresh=tuple(self.fresh),
            notes=tuple(dict.fromkeys([*self.bound.notes, *self.notes])),
        )
