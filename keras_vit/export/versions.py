"""Numbered version folders as TF Serving watches them: whole or not there, never overwritten."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator


def versions(path: str | os.PathLike) -> list[int]:
    """Returns the version numbers under a folder, in order; none where there is no folder."""
    path = pathlib.Path(path)
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


class NewVersion:
    """A folder in the making.

    Attributes:
        folder: where to write; its name starts with a dot, which TF Serving passes over.
        published: the version folder, known once the block has ended.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.published: pathlib.Path | None = None


@contextlib.contextmanager
def new_version(path: str | os.PathLike) -> Iterator[NewVersion]:
    """Gives a folder to write in and makes it the next version of `path` at the end of the block.

    Where the block fails, nothing stays behind. Two processes may do so at once: each gets a
    number of its own.

    Args:
        path: folder of the versions, made if there is none.

    Yields:
        A `NewVersion`.
    """
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    new = NewVersion(path / f".writing-{uuid.uuid4().hex}")
    new.folder.mkdir()
    try:
        yield new
        new.published = _publish(new.folder, path)
    except BaseException:
        shutil.rmtree(new.folder, ignore_errors=True)
        raise


def _publish(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    while True:
        target = path / str(max(versions(path), default=0) + 1)
        try:
            os.replace(folder, target)
        except OSError:
            if not target.exists():
                raise
        else:
            return target
