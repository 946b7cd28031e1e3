"""Reads `.npz` files without trusting them: no pickles, sizes and checksums verified.

`zipfile` reads the members. Headers are compared with sizes by hand, since `numpy.load` makes room
for whatever a header promises.
"""

import os
import struct
import zipfile
import zlib
from collections import Counter
from typing import Any

import numpy as np

from keras_vit.weights.files.arrays import (
    ArrayFile,
    ArraySpec,
    broken,
    check_count,
    check_readable,
    empty,
    unfit,
)

_KIND = "a .npz file"
# A real checkpoint hardly compresses. A file that would grow more than this is refused unread.
_MAX_GROWTH = 100
_ALWAYS_ALLOWED_BYTES = 256 * 2**20
_CHUNK = 2**18  # what is read at once stays in the processor's cache until it is copied
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, NotImplementedError,
    UnicodeDecodeError, OverflowError,
)  # fmt: skip


class NpzFile(ArrayFile):
    """An `.npz` file whose names, sizes and headers were checked before any value is read.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything else than a whole archive of plain arrays; the message names the file.
    """

    def __init__(self, path: Any):
        size = check_readable(path, _KIND)
        self._members: dict[str, tuple[zipfile.ZipInfo, int, np.dtype, bool]] = {}
        specs = {}
        try:
            self._archive = zipfile.ZipFile(path)
            infos = self._archive.infolist()
            _check_directory(path, infos, size)
            for info in infos:
                specs[info.filename.removesuffix(".npy")] = self._read_header(path, info)
        except _DAMAGES as error:
            raise broken(path, f"{type(error).__name__}: {error}", _KIND) from error
        super().__init__(path, specs)

    def _read_header(self, path: Any, info: zipfile.ZipInfo) -> ArraySpec:
        with self._archive.open(info) as file:
            shape, fortran, dtype = _npy_header(path, file, info)
            start = file.tell()
        promised = dtype.itemsize
        for side in shape:
            promised *= side
        if start + promised != info.file_size:
            raise broken(
                path,
                f"{info.filename!r} promises {promised} bytes and holds {info.file_size - start}",
                _KIND,
            )
        name = info.filename.removesuffix(".npy")
        self._members[name] = (info, start, dtype, fortran)
        # NumPy has no bfloat16 of its own and stores it as two plain bytes.
        spelled = "bfloat16" if dtype.str in ("|V2", "<V2") else dtype.newbyteorder("=").name
        return ArraySpec(shape, spelled)

    def _read_raw(self, name: str) -> np.ndarray:
        info, start, dtype, fortran = self._members[name]
        shape = self.specs[name].shape
        array = empty(shape[::-1] if fortran else shape, "<u2" if dtype.kind == "V" else dtype)
        target, filled = memoryview(array.reshape(-1).view(np.uint8)), 0
        try:
            with self._archive.open(info) as file:
                file.read(start)
                while chunk := file.read(_CHUNK):  # the last one compares the checksum
                    target[filled : filled + len(chunk)] = chunk
                    filled += len(chunk)
        except _DAMAGES as error:
            raise broken(self.path, f"{info.filename!r} cannot be read, {error}", _KIND) from error
        return array.transpose() if fortran else array


def _check_directory(path: Any, infos: list[zipfile.ZipInfo], size: int) -> None:
    """Checks names and promised sizes before anything is unpacked."""
    check_count(path, len(infos))
    twice = [name for name, count in Counter(info.filename for info in infos).items() if count > 1]
    if twice:
        raise unfit(path, f"members that occur twice: {twice[:5]}", _KIND)
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise unfit(path, f"a member that is no array, {info.filename!r}", _KIND)
        if info.flag_bits & 0x1:
            raise unfit(path, f"an encrypted member, {info.filename!r}", _KIND)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise unfit(path, f"an unusual compression of {info.filename!r}", _KIND)
        if info.compress_size > size or (
            info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size
        ):
            raise broken(path, f"a wrong size of {info.filename!r}", _KIND)
    total = sum(info.file_size for info in infos)
    if total > max(_MAX_GROWTH * size, _ALWAYS_ALLOWED_BYTES):
        raise unfit(path, f"{size} bytes that would grow to {total}", _KIND)


def _npy_header(path: Any, file: Any, info: zipfile.ZipInfo):
    """Reads shape, order and dtype of one member; refuses pickles and records."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"unknown .npy version {version}")
    except Exception as error:  # of many kinds: NumPy evaluates the header as Python
        what = f"{info.filename!r} is no .npy array, {type(error).__name__}: {error}"
        raise broken(path, what, _KIND) from error
    if dtype.hasobject:
        raise ValueError(
            f"Expected plain arrays in {os.fspath(path)!r}. Received: {info.filename!r} is a "
            "pickle (dtype object), which could run code and is never read. Save float arrays."
        )
    if dtype.names is not None or dtype.subdtype is not None or any(side < 0 for side in shape):
        raise unfit(path, f"{info.filename!r} of dtype {dtype} and shape {shape}", _KIND)
    return shape, fortran, dtype
