"""Files that are whole or not there: written beside their target and moved into place.

By hand, since Python's own library has no such writer.
"""

import contextlib
import glob
import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_MAX_JSON_BYTES = 64 * 2**20
_ABANDONED_AFTER = 3600  # seconds since anything was written to a temporary file
# What `replacing` makes, and what the safetensors library did, which once wrote checkpoints here.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\.[^.]+)?|\.tmp[A-Za-z0-9]{6}")


@contextlib.contextmanager
def replacing(target: str | os.PathLike, *, durable: bool = False) -> Iterator[Path]:
    """Gives a path beside `target` to write to, and moves it there when the block ends well.

    What a killed process left of the same target an hour ago or longer is removed.

    Args:
        target: the file to make or to replace; its folder is made if needed. The temporary name
            keeps the suffix, which some writers look at.
        durable: whether the file is on the disk when the block has ended, so that it outlives a
            power cut too. It costs the time to write it there.

    Example:
        >>> import tempfile
        >>> note = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(note) as path:
        ...     _ = path.write_text("whole")
        >>> note.read_text()
        'whole'
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in target.parent.glob(f".{glob.escape(target.stem)}.*{glob.escape(target.suffix)}"):
        if _TEMPORARY.fullmatch(path.name) and _is_abandoned(path):
            path.unlink(missing_ok=True)
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield temporary
        if durable:
            _to_disk(temporary)
        os.replace(temporary, target)
        if durable:
            _to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def each_path(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> Iterator[Any]:
    """Returns the paths one by one, where one alone need not be in a list."""
    return iter([paths] if isinstance(paths, (str, os.PathLike)) else paths)


def remove_leftovers(folder: str | os.PathLike) -> list[Path]:
    """Removes the temporary files of `replacing` that a killed process left in a folder.

    Args:
        folder: looked into, not its subfolders; it need not exist. No other process may be
            writing there.

    Returns:
        What was removed.
    """
    folder = Path(folder)
    paths = folder.iterdir() if folder.is_dir() else ()
    found = [path for path in paths if _TEMPORARY.fullmatch(path.name) and path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return found


def write_json(target: str | os.PathLike, values: Any) -> None:
    """Writes values as indented JSON, no NaN or infinity; the file is whole or not there."""
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(target) as path:
        path.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a JSON object from a small file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no JSON object, or one of more than 64 MiB; the message names the file.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_JSON_BYTES + 1)
        if len(content) > _MAX_JSON_BYTES:
            raise ValueError(f"more than {_MAX_JSON_BYTES} bytes")
        value = json.loads(content.decode("utf-8-sig"))
        if not isinstance(value, dict):
            raise ValueError(f"a JSON {type(value).__name__}")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"Expected a JSON file at {path!r}. Received: no file.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"Expected a JSON object in {path!r}. Received: {error}.") from error
    return value


def _is_abandoned(path: Path) -> bool:
    try:
        return path.is_file() and time.time() - path.stat().st_mtime > _ABANDONED_AFTER
    except OSError:  # it went in the meantime
        return False


def _to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder, and needs it not
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
