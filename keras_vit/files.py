"""Files that are whole or not there: written beside their target and moved into place."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(target: str | os.PathLike) -> Iterator[Path]:
    """Gives a path beside `target` to write to, and moves it there when the block ends well.

    Args:
        target: the file to make or to replace; its folder is made if needed. The temporary name
            keeps the suffix, which some writers look at.

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
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(target: str | os.PathLike, values: Any) -> None:
    """Writes values as indented JSON; the file is whole or not there.

    Args:
        target: the file.
        values: what JSON can hold; NaN and infinity are refused.
    """
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing(target) as path:
        path.write_text(text + "\n", encoding="utf-8")
