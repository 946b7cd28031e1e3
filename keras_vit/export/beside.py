"""One exported file and what stands beside it: written together, all of them or none."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from keras_vit.files import write_json


def check_path(path: pathlib.Path, suffix: str) -> None:
    """Refuses a path of another suffix.

    Raises:
        ValueError: it has another.
    """
    if path.suffix != suffix:
        raise ValueError(f"Expected a path that ends in {suffix}. Received: '{path}'.")


def check_batch_size(batch_size: Any) -> None:
    """Refuses what is neither None nor an integer of at least 1.

    Raises:
        ValueError: it is neither.
    """
    if batch_size is not None and (
        isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1
    ):
        raise ValueError(
            "Expected `batch_size` to be None or an integer of at least 1. "
            f"Received: batch_size={batch_size!r}."
        )


def metadata_path(path: str | os.PathLike) -> pathlib.Path:
    """Returns where the metadata of an exported file stands: `model.onnx.json` for `model.onnx`."""
    path = pathlib.Path(path)
    return path.with_name(path.name + ".json")


@contextlib.contextmanager
def writing_beside(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a path of the same name in a scratch folder; at the end all files there move to `path`.

    Args:
        path: the file to make or to replace; its folder is made if needed. Files that the block
            writes beside the scratch path come along, and move first, so that where the file is,
            all of it is. Where the block fails, nothing is left.

    Yields:
        The scratch path.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as scratch:
        yield pathlib.Path(scratch) / path.name
        for file in sorted(pathlib.Path(scratch).iterdir(), key=lambda f: f.name == path.name):
            os.replace(file, path.parent / file.name)


def write_metadata(path: str | os.PathLike, values: dict[str, Any]) -> None:
    """Writes the metadata of an exported file beside it.

    Args:
        path: the exported file.
        values: what `keras_vit.export.serving.metadata` returns, and more.
    """
    write_json(metadata_path(path), values)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the metadata beside an exported file.

    Args:
        path: the exported file.

    Raises:
        ValueError: there is none, or it is no metadata.
    """
    file = metadata_path(path)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Expected '{file}', which the export wrote beside '{path}'. Received: {error}. "
            "Keep the two together."
        ) from error
    if not isinstance(values, dict) or not {"preprocessing", "labels"} <= values.keys():
        raise ValueError(
            f"Expected '{file}' to hold the preprocessing and labels of an exported model. "
            "Received: other JSON."
        )
    return values
