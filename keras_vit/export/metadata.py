"""What an exported form keeps beside it: preprocessing, labels and where it is from."""

import os
import pathlib
from typing import Any

from keras_vit.export.exportable import Exportable
from keras_vit.files import read_json, write_json
from keras_vit.version import __version__


def metadata_path(path: str | os.PathLike) -> pathlib.Path:
    """Returns where the metadata stands: `model.onnx.json` for `model.onnx`, or in the folder."""
    path = pathlib.Path(path)
    return path / "metadata.json" if path.is_dir() else path.with_name(path.name + ".json")


def write_metadata(
    path: str | os.PathLike, exportable: Exportable, names: list[str], facts: dict[str, Any]
) -> None:
    """Writes the metadata of an exported file or version folder.

    Beside what the model tells stand a name for each class and other facts, such as `format`.
    """
    values = {
        "keras_vit_version": __version__,
        "name": exportable.model.name,
        "config": exportable.backbone.config.to_dict(),
        "preprocessing": exportable.preprocessing.to_dict(),
        "labels": names,
        "output": exportable.output,
    }
    write_json(metadata_path(path), facts | values)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the metadata of an exported file or version folder.

    Raises:
        ValueError: there is none, or it is no metadata.
    """
    file = metadata_path(path)
    try:
        values = read_json(file)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{error} The export wrote it with '{path}': keep the two together."
        ) from error
    if not {"preprocessing", "labels"} <= values.keys():
        raise ValueError(
            f"Expected '{file}' to hold the preprocessing and labels of an exported model. "
            "Received: other JSON."
        )
    return values
