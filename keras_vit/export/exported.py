"""An exported model opened again, whatever its form: its runtime, preprocessing and labels."""

import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from keras_vit.checks import check_choice
from keras_vit.export.agreement import sample_pictures
from keras_vit.export.exportable import Exportable
from keras_vit.export.form import Form
from keras_vit.export.forms import FORMS
from keras_vit.export.forms.saved_model_folder import SAVED_MODEL
from keras_vit.export.metadata import read_metadata
from keras_vit.export.places import versions
from keras_vit.export.runtimes import Runner
from keras_vit.images.spec import Preprocessing

_BY_SUFFIX = {form.suffix: form for form in FORMS.values() if form.suffix}


class ExportedModel:
    """Prepared images to outputs, in the runtime of the form.

    Attributes:
        path: the file, or the version folder of a SavedModel.
        format: `"saved_model"`, `"litert"`, `"onnx"` or `"openvino"`.
        metadata: what the export wrote beside it.
        preprocessing: how images are prepared.
        labels: a name for each class; empty without a head.
    """

    def __init__(self, path: pathlib.Path, form: str, metadata: dict, run: Runner):
        self.path = path
        self.format = form
        self.metadata = metadata
        self.preprocessing = Preprocessing.from_dict(metadata["preprocessing"])
        self.labels = list(metadata["labels"])
        self.folder: Any = None  # that goes when this does, where it is a temporary one
        self._run = run

    def __call__(self, images: Any) -> dict[str, np.ndarray]:
        """Runs prepared images, float32 (batch, height, width, channels).

        Returns:
            `logits` and `probabilities` (batch, classes), or `values`, and, but for a SavedModel
            with a head, `features` (batch, features).
        """
        return self._run(np.ascontiguousarray(images, "float32"))

    def predict(self, images: Any, batch_size: int = 32) -> np.ndarray:
        """Gives what the model's own `predict` gives.

        Args:
            images: prepared, (batch, height, width, channels).
            batch_size: images at a time.

        Returns:
            float32: probabilities, logits (batch, classes) or values, whichever the model returns;
            without a head its features.
        """
        output = self.metadata["output"]
        starts = range(0, max(len(images), 1), batch_size)
        return np.concatenate([self(images[i : i + batch_size])[output] for i in starts])


def is_exported(path: str | os.PathLike) -> bool:
    """Whether a path names an exported form: a folder, or a file of one of their suffixes."""
    path = pathlib.Path(path)
    return path.suffix in _BY_SUFFIX or path.is_dir()


def open_exported(path: str | os.PathLike, *, precision: str = "f32") -> ExportedModel:
    """Opens what `saved_model`, `litert`, `onnx` or `openvino` wrote.

    Args:
        path: a `.tflite`, `.onnx` or `.xml` file with the metadata beside it, or the folder of a
            SavedModel, the version itself or the folder of the versions (the latest is taken).
        precision: for OpenVINO: `"f32"` or `"bf16"`, faster where the processor has it.

    Returns:
        The model in its own runtime, ready to be called.

    Raises:
        ImportError: its runtime is missing.
        ValueError: no such file, or the metadata is missing.
    """
    form, path = _find(path)
    form.check_installed()
    metadata = read_metadata(path)
    options = {"precision": precision} if precision in form.precisions[1:] else {}
    return ExportedModel(path, form.name, metadata, form.run(path, **options))


def compiled(
    model: Any, form: str = "openvino", *, precision: str = "f32", **options: Any
) -> ExportedModel:
    """Exports a model to a temporary folder and opens it in the runtime of the form.

    On a CPU that is faster than Keras's own `predict`, most of all with OpenVINO, and the weights
    are those of this moment. The files live as long as what is returned.

    Args:
        model: what `keras_vit.export.saved_model` takes.
        form: `"saved_model"`, `"litert"`, `"onnx"` or `"openvino"`.
        precision: for OpenVINO: `"f32"` or `"bf16"`, faster where the processor has it.
        **options: of the form's function, such as `batch_size`, `quantize` or `labels`.

    Returns:
        An `ExportedModel`: `predict(images)` gives what `model.predict(images)` gives, and
        `keras_vit.export.classify_files` takes it too.

    Raises:
        ImportError: the runtime is missing: `pip install "keras-vit[export]"`.
        ValueError: an unknown form, or what its function refuses.
    """
    check_choice("form", form, tuple(FORMS))
    row = FORMS[form]
    # A runtime may keep its file open, which Windows does not let go.
    folder = tempfile.TemporaryDirectory(prefix="keras_vit-", ignore_cleanup_errors=True)
    path = row.write(model, pathlib.Path(folder.name) / f"model{row.suffix}", **options)
    opened = open_exported(path, precision=precision)
    opened.folder = folder
    return opened


def check(model: Any, path: str | os.PathLike, images: Any = None) -> float:
    """Compares what an export wrote with its model again, in the form's own runtime.

    A SavedModel is loaded as TF Serving does, its graph alone, and gets the same pictures as PNG
    files too, with a broken one among them, for `classify_bytes`.

    Args:
        model: the model that was exported.
        path: what `open_exported` takes.
        images: uint8 array (batch, height, width, channels) to compare on; None for four random
            pictures.

    Returns:
        The largest absolute difference over all outputs.

    Raises:
        ValueError: no such file.
        RuntimeError: it lacks an output, named other classes than the model, or did not tell the
            broken image from the others.
    """
    form, path = _find(path)
    exportable = Exportable.of(model)
    pictures = sample_pictures(exportable, 4) if images is None else images
    found = [difference.largest for difference in form.compare(exportable, path, pictures)]
    return float(np.max(found))


def _find(path: str | os.PathLike) -> tuple[Form, pathlib.Path]:
    path = pathlib.Path(path)
    form = _BY_SUFFIX.get(path.suffix)
    if form is None:
        return SAVED_MODEL, find_saved_model(path)
    if not path.is_file():
        raise ValueError(f"Expected an exported model. Received: '{path}', which is no file.")
    return form, path


def find_saved_model(folder: str | os.PathLike) -> pathlib.Path:
    """Returns the folder with `saved_model.pb`: the one given, or its latest version.

    Raises:
        ValueError: there is none.
    """
    folder = pathlib.Path(folder)
    for candidate in [folder, *reversed(versions(folder).values())]:
        if (candidate / "saved_model.pb").is_file():
            return candidate
    raise ValueError(
        "Expected the folder of a SavedModel, or one with its versions. "
        f"Received: '{folder}', which has no saved_model.pb."
    )
