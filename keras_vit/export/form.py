"""One way to take a model out of Python, and what all ways have in common: `write_form`."""

import contextlib
import dataclasses
import gc
import importlib.util
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_vit.checks import check_int
from keras_vit.export.agreement import Difference, differences, sample_pictures
from keras_vit.export.exportable import Exportable
from keras_vit.export.metadata import write_metadata
from keras_vit.export.places import new_file, new_version
from keras_vit.export.runtimes import Runner

LOW_PRECISION_TOLERANCE = 0.05


@dataclasses.dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        name: on the command line, in metadata, and of its function in `keras_vit.export`.
        title: in errors.
        suffix: of its file; "" for a folder of numbered versions.
        write: the function in `keras_vit.export`.
        run: opens what stands at a path in the form's own runtime.
        needs: the packages without which it cannot be written and run.
        companions: of files that may stand beside its own, in place of its suffix.
        precisions: what its runtime can be told to compute in, the default first.
        unknown_quantizations: modes of `model.quantize` that its converter does not know.
        keeps_precision: whether a model of low precision stays so; else it becomes float32.
        tolerance: largest difference from the model, as a share of an output's largest value.
        differences: compares what stands at a path with its model on pictures; None runs prepared
            images.
    """

    name: str
    title: str
    suffix: str
    write: Callable[..., pathlib.Path]
    run: Callable[..., Runner]
    needs: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("f32",)
    unknown_quantizations: tuple[str, ...] = ("int8", "float8")
    keeps_precision: bool = False
    tolerance: float = 1e-3
    differences: Callable[[Exportable, pathlib.Path, np.ndarray], Iterable[Difference]] | None = (
        None
    )

    def check_installed(self) -> None:
        """Refuses to go on without the packages that the form needs.

        Raises:
            ImportError: one is missing.
        """
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"Expected {', '.join(self.needs)} to be installed, for the {self.title}. "
                f'Received: no {", ".join(missing)}. `pip install "keras-vit[export]"` brings them.'
            )

    def check_quantization(self, exportable: Exportable) -> None:
        """Refuses a model quantised in a way that the form's converter does not know.

        Raises:
            ValueError: it is.
        """
        unknown = exportable.quantization_modes & set(self.unknown_quantizations)
        if unknown:
            raise ValueError(
                f"Expected a model that is not quantised to {' or '.join(unknown)}, for the "
                f"{self.title}. Received: {exportable.model.name!r}. Export it as it was before "
                "`quantize`."
            )

    def compare(
        self, exportable: Exportable, path: pathlib.Path, pictures: np.ndarray
    ) -> Iterable[Difference]:
        """Compares all outputs of a file or version folder with its model's, on uint8 pictures."""
        if self.differences is not None:
            return self.differences(exportable, path, pictures)
        return differences(self.run(path), exportable, exportable.prepare(pictures))

    def files(self, path: str | os.PathLike) -> list[pathlib.Path]:
        """Returns all files of what stands at a path, but for its metadata."""
        path = pathlib.Path(path)
        if path.is_dir():
            return [file for file in path.rglob("*") if file.is_file()]
        beside = [path.with_name(path.name[: -len(self.suffix)] + end) for end in self.companions]
        return [path, *(file for file in beside if file.is_file())]


def write_form(
    form: Form,
    model: Any,
    path: str | os.PathLike,
    make: Callable[[Exportable, pathlib.Path, list[str]], dict[str, Any] | None],
    *,
    labels: Sequence[str] | None,
    batch_size: int | None = None,
    tolerance: float | None = None,
    images: np.ndarray | None = None,
    **facts: Any,
) -> pathlib.Path:
    """Writes a model in one form: checks it, compares what was written, moves it into place.

    An `Exportable` in place of a model lets several forms share what they have in common.
    `make` writes the form's own files at a path, given what is exported and a name for each class,
    and may return more facts, which are kept in the metadata. It is compared on prepared `images`,
    or on random pictures, within the form's tolerance or another one.

    Returns:
        The path of the file, or the new version folder.

    Raises:
        ImportError: a package that the form needs is missing.
        ValueError: a wrong argument, or a model that cannot be exported.
        RuntimeError: what was written does not run or says something else than the model; nothing
            is left of it.
    """
    path = pathlib.Path(path)
    if form.suffix and path.suffix != form.suffix:
        raise ValueError(f"Expected a path that ends in {form.suffix}. Received: '{path}'.")
    if batch_size is not None:
        check_int("batch_size", batch_size, 1)
    form.check_installed()
    exportable = Exportable.of(model)
    form.check_quantization(exportable)
    names = exportable.names(labels)
    if not form.keeps_precision:
        exportable = exportable.in_float32()
    if tolerance is None:
        tolerance = form.tolerance if exportable.is_float32 else LOW_PRECISION_TOLERANCE
    facts = {"format": form.name, "batch_size": batch_size} | facts
    with _collecting_the_new(), (new_file if form.suffix else new_version)(path) as place:
        facts |= make(exportable, place.scratch, names) or {}
        write_metadata(place.scratch, exportable, names, facts)
        try:
            if images is None:
                found = form.compare(exportable, place.scratch, sample_pictures(exportable, 3))
            else:
                found = differences(form.run(place.scratch), exportable, images)
            found = list(found)
        except Exception as error:  # each runtime has kinds of its own
            raise RuntimeError(f"The {form.title} does not run as it should: {error}") from error
        for difference in found:
            difference.check(form.title, tolerance)
    return place.published


@contextlib.contextmanager
def _collecting_the_new() -> Iterator[None]:
    """Lets Python's collector of cycles look at what is made from here on, and at nothing else.

    With TensorFlow and Keras imported a full collection takes a quarter of a second, and a graph is
    so many objects that each form causes one or two.
    """
    if gc.get_freeze_count():  # somebody set things aside already
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
