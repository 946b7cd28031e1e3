"""An exported model opened again, whatever its form: its runtime, preprocessing and labels."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np

from keras_vit.export import runtimes
from keras_vit.export.beside import read_metadata
from keras_vit.export.versions import versions
from keras_vit.images.spec import Preprocessing

SUFFIXES = {".tflite": "litert", ".onnx": "onnx", ".xml": "openvino"}


class ExportedModel:
    """Prepared images to outputs, in the runtime of the form.

    Attributes:
        path: the file, or the version folder of a SavedModel.
        format: `"saved_model"`, `"litert"`, `"onnx"` or `"openvino"`.
        metadata: what the export wrote beside it.
        preprocessing: how images are prepared.
        labels: a name for each class; empty without a head.
    """

    def __init__(self, path: pathlib.Path, form: str, metadata: dict, run: runtimes.Runner):
        self.path = path
        self.format = form
        self.metadata = metadata
        self.preprocessing = Preprocessing.from_dict(metadata["preprocessing"])
        self.labels = list(metadata["labels"])
        self._run = run

    def __call__(self, images: Any) -> dict[str, np.ndarray]:
        """Runs prepared images, float32 (batch, height, width, channels).

        Returns:
            `logits` and `probabilities` (batch, classes) and, but for a SavedModel with a head,
            `features` (batch, features).
        """
        return self._run(np.ascontiguousarray(images, "float32"))


def is_exported(path: str | os.PathLike) -> bool:
    """Whether a path names an exported form: a folder, or a file of one of their suffixes."""
    path = pathlib.Path(path)
    return path.suffix in SUFFIXES or path.is_dir()


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
    path = pathlib.Path(path)
    if path.suffix not in SUFFIXES:
        path = find_saved_model(path)
        try:
            metadata = json.loads((path / "metadata.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"Expected '{path}/metadata.json', which the export wrote. Received: {error}."
            ) from error
        return ExportedModel(path, "saved_model", metadata, runtimes.saved_model_runner(path))
    if not path.is_file():
        raise ValueError(f"Expected an exported model. Received: '{path}', which is no file.")
    metadata, form = read_metadata(path), SUFFIXES[path.suffix]
    if form == "openvino":
        run = runtimes.openvino_runner(path, precision)
    else:
        run = {"litert": runtimes.litert_runner, "onnx": runtimes.onnx_runner}[form](path)
    return ExportedModel(path, form, metadata, run)


def find_saved_model(folder: str | os.PathLike) -> pathlib.Path:
    """Returns the folder with `saved_model.pb`: the one given, or its latest version.

    Raises:
        ValueError: there is none.
    """
    folder = pathlib.Path(folder)
    candidates = [folder, *(folder / str(number) for number in reversed(versions(folder)))]
    for candidate in candidates:
        if (candidate / "saved_model.pb").is_file():
            return candidate
    raise ValueError(
        "Expected the folder of a SavedModel, or one with its versions. "
        f"Received: '{folder}', which has no saved_model.pb."
    )
