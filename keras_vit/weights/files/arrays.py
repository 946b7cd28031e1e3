"""An open file of named arrays: names, shapes and dtypes at once, values one array at a time."""

import collections
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_vit.files import read_json

# Of a ViT with text tower and optimizer there are some 3,000; more would only cost time.
_MOST_ARRAYS = 20_000
_MOST_AXES = 32
_MOST_BYTES = 2**60
_ALIGNMENT = 64
_READERS = 2  # arrays that are held ahead of the one in use
FLOAT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """What a file's header says of one array.

    Attributes:
        shape: sizes of the axes.
        dtype: `"float32"`, `"bfloat16"`, `"int64"`, ... as NumPy and ml_dtypes name them.
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


class ArrayFile:
    """Named arrays in a file; the headers are read and checked when it is opened, values later.

    Args:
        path: the file, for error messages.
        specs: shape and dtype of every array by its name.
        config: what to take for the `config.json` beside the file; None reads it when it is asked
            for.
        preprocessor: the same for `preprocessor_config.json`.

    Raises:
        ValueError: no arrays, too many, or shapes that no array can have.

    Subclasses implement `_read_raw`.
    """

    def __init__(
        self,
        path: str,
        specs: Mapping[str, ArraySpec],
        config: Mapping[str, Any] | None = None,
        preprocessor: Mapping[str, Any] | None = None,
    ):
        self.path = os.fspath(path)
        self.specs = dict(specs)
        given = {"config.json": config, "preprocessor_config.json": preprocessor}
        self._beside = {name: dict(value) for name, value in given.items() if value is not None}
        check_count(path, len(self.specs))
        for name, spec in self.specs.items():
            size = math.prod(max(side, 1) for side in spec.shape)
            if len(spec.shape) > _MOST_AXES or size * 8 > _MOST_BYTES:
                raise unfit(path, f"{name!r} of shape {spec.shape}")

    def beside(self, name: str) -> dict[str, Any]:
        """Returns the JSON object of another file in the same folder; it is read once.

        Returns:
            The object, or an empty one where there is no such file.

        Raises:
            ValueError: a file that is no JSON object.
        """
        if name not in self._beside:
            path = os.path.join(os.path.dirname(self.path), name)
            self._beside[name] = read_json(path) if os.path.isfile(path) else {}
        return self._beside[name]

    @property
    def config(self) -> dict[str, Any]:
        """The `config.json` beside the file, as transformers and timm write it."""
        return self.beside("config.json")

    @property
    def preprocessor(self) -> dict[str, Any]:
        """The `preprocessor_config.json` beside the file, as transformers writes it."""
        return self.beside("preprocessor_config.json")

    def read(self, name: str) -> np.ndarray:
        """Reads one array as float32; float16, bfloat16 and float64 are converted.

        Returns:
            A float32 array of the shape in `specs`, the caller's own.

        Raises:
            ValueError: the values are damaged, or are no floating point numbers.
        """
        spec = self.specs[name]
        if spec.dtype not in FLOAT_BYTES:
            raise ValueError(
                f"Expected floating point numbers in {name!r} of {self.path}. "
                f"Received: dtype={spec.dtype}."
            )
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf and is reported so
            return to_float32(self._read_raw(name), spec.dtype)

    def read_each(self, names: Iterable[str]) -> Iterator[np.ndarray]:
        """Reads arrays in turn; while one is used, threads read those that come next.

        Yields:
            What `read` returns.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            ahead: collections.deque[Future] = collections.deque()
            for name in names:
                ahead.append(pool.submit(self.read, name))
                if len(ahead) > _READERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _read_raw(self, name: str) -> np.ndarray:
        """Reads one array as it is stored; bfloat16 as uint16."""
        raise NotImplementedError


def to_float32(array: np.ndarray, dtype: str) -> np.ndarray:
    """Converts stored values to float32.

    Args:
        array: values as stored; bfloat16 as uint16, of which they are the upper half.
        dtype: their dtype, a key of `FLOAT_BYTES`.
    """
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Makes an array to fill, at an address where TensorFlow and JAX can take it as it is."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def unfit(path: Any, what: str, expected: str = "a checkpoint file") -> ValueError:
    """Returns the error for a file that is whole, as far as one sees, and of no use."""
    return ValueError(f"Expected {expected} at {os.fspath(path)!r}. Received: {what}.")


def broken(path: Any, what: str, expected: str = "a whole checkpoint file") -> ValueError:
    """Returns the error for a damaged file, which another download would mend."""
    return ValueError(
        f"{unfit(path, what, expected)} If it was downloaded, delete it and fetch it again."
    )


def check_count(path: Any, count: int) -> None:
    """Refuses a file without arrays, or with more than any Vision Transformer has."""
    if not 0 < count <= _MOST_ARRAYS:
        what = f"{count} arrays" if count else "a file without arrays"
        raise unfit(path, what, f"a checkpoint of 1 to {_MOST_ARRAYS} arrays")


def check_readable(path: Any, kind: str) -> int:
    """Checks that a path is a file worth opening, and returns its size in bytes.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a folder, an empty file or a web page.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise ValueError(f"Expected {kind} at {path!r}. Received: a folder. Name the file in it.")
    if not os.path.exists(path):
        raise FileNotFoundError(f"Expected {kind} at {path!r}. Received: no such file.")
    size = os.path.getsize(path)
    if size == 0:
        raise broken(path, "a file of 0 bytes", kind)
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise broken(path, "a web page, as servers send in place of a missing file", kind)
    return size
