"""Where an export is written, and how it gets to its place: whole or not there.

One file with what stands beside it, or a numbered version folder as TF Serving watches them.
"""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator

# TF Serving reads version numbers as int64.
MAX_VERSION = 2**63 - 1


@dataclasses.dataclass
class Place:
    """A file or folder in the making.

    Attributes:
        scratch: where to write; TF Serving passes over names with a dot before them.
        published: where it stands, known once the block has ended.
    """

    scratch: pathlib.Path
    published: pathlib.Path | None = None


@contextlib.contextmanager
def new_file(path: str | os.PathLike) -> Iterator[Place]:
    """Gives a place for a file of the same name; at the end all that stands beside it moves along.

    What stands beside the file moves first, so that where the file is, all of it is. Where the
    block fails, nothing is left and a file that was there stays. Its folder is made if needed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        place = Place(pathlib.Path(folder) / path.name)
        yield place
        for file in sorted(pathlib.Path(folder).iterdir(), key=lambda f: f.name == path.name):
            os.replace(file, path.parent / file.name)
        place.published = path


def versions(path: str | os.PathLike) -> dict[int, pathlib.Path]:
    """Returns the version folders under a folder by number, in order; none where there is none."""
    path = pathlib.Path(path)
    entries = list(path.iterdir()) if path.is_dir() else []
    numbers = {int(e.name): e for e in entries if e.name.isascii() and e.name.isdecimal()}
    return {number: numbers[number] for number in sorted(numbers) if number <= MAX_VERSION}


@contextlib.contextmanager
def new_version(path: str | os.PathLike) -> Iterator[Place]:
    """Gives a folder to write in and makes it the next version of `path` at the end of the block.

    Where the block fails, nothing stays behind. Two processes may do so at once: each gets a
    number of its own. The folder is made if there is none.

    Raises:
        ValueError: the versions have the largest number already.
    """
    path = pathlib.Path(path)
    _next_version(path)
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path) as folder:
        place = Place(pathlib.Path(folder) / "version")
        place.scratch.mkdir()
        yield place
        place.published = _publish(place.scratch, path)


def _next_version(path: pathlib.Path) -> int:
    number = max(versions(path), default=0) + 1
    if number > MAX_VERSION:
        raise ValueError(
            f"Expected a version below {MAX_VERSION} in '{path}', so that a next one can follow. "
            f"Received: '{path / str(MAX_VERSION)}'. Rename it, or export to another folder."
        )
    return number


def _publish(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    while True:
        target = path / str(_next_version(path))
        try:
            os.replace(folder, target)
        except OSError:
            if not target.exists():
                raise
        else:
            return target
