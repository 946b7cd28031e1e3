"""Many files, read on all cores while something else works on those before them."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from keras_vit.files import each_path

_CHUNKS_AHEAD = 2  # read, or being read, while the first is worked on


class Reading(NamedTuple):
    """What became of a file.

    Attributes:
        path: of the file.
        value: what was read, or None.
        error: why nothing was, or None.
    """

    path: Any
    value: Any
    error: str | None


def read_ahead(
    paths: str | os.PathLike | Iterable[str | os.PathLike], read: Callable[[Any], Any], size: int
) -> Iterator[list[Reading]]:
    """Reads files, a few lists ahead; one that cannot be read does not stop the others.

    Args:
        paths: files, taken as they are needed.
        read: from a path to what is wanted of it; its ValueError and OSError are what is wrong.
        size: files at a time.

    Yields:
        A list of at most `size`, in order.
    """

    def attempt(path: Any) -> Reading:
        try:
            return Reading(path, read(path), None)
        except (ValueError, OSError) as error:
            return Reading(path, None, str(error))

    paths = each_path(paths)
    waiting: deque[list[Future]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while True:
            while len(waiting) <= _CHUNKS_AHEAD and (chunk := list(itertools.islice(paths, size))):
                waiting.append([pool.submit(attempt, path) for path in chunk])
            if not waiting:
                return
            yield [future.result() for future in waiting.popleft()]
