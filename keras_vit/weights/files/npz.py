"""Reads `.npz` files without trusting them: no pickles, sizes and checksums verified."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections import Counter
from typing import Any

import numpy as np

from keras_vit.weights.files.arrays import ArrayFile, ArraySpec, broken, check_readable

# A real checkpoint hardly compresses. A file that would grow more than this is refused unread.
_MAX_GROWTH = 100
_ALWAYS_ALLOWED_BYTES = 256 * 2**20
_CHUNK = 2**20
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class NpzFile(ArrayFile):
    """An `.npz` file whose names, sizes and headers were checked before any value is read.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything else than a whole archive of plain arrays; the message names the file.
    """

    def __init__(self, path: Any):
        size = check_readable(path, "a .npz file")
        self._members: dict[str, tuple[zipfile.ZipInfo, int, np.dtype, bool]] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
                _check_directory(path, infos, size)
                specs = {}
                for info in infos:
                    name = info.filename.removesuffix(".npy")
                    specs[name] = self._read_header(path, archive, info)
        except (
            zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, NotImplementedError,
            UnicodeDecodeError, OverflowError,
        ) as error:  # fmt: skip
            raise broken(path, f"{type(error).__name__}: {error}", "a .npz file") from error
        if not specs:
            raise broken(path, "an archive without arrays", "a .npz file")
        super().__init__(path, specs)

    def _read_header(self, path, archive, info) -> ArraySpec:
        with archive.open(info) as file:
            shape, fortran, dtype = _npy_header(path, file, info)
            start = file.tell()
        promised = dtype.itemsize
        for side in shape:
            promised *= side
        if start + promised != info.file_size:
            raise broken(
                path, f"{info.filename!r} promises {promised} bytes and holds "
                f"{info.file_size - start}", "a .npz file",
            )  # fmt: skip
        name = info.filename.removesuffix(".npy")
        self._members[name] = (info, start, dtype, fortran)
        # NumPy has no bfloat16 of its own and stores it as two plain bytes.
        spelled = "bfloat16" if dtype.str in ("|V2", "<V2") else dtype.newbyteorder("=").name
        return ArraySpec(shape, spelled)

    def _read_raw(self, name: str) -> np.ndarray:
        info, start, dtype, fortran = self._members[name]
        shape = self.specs[name].shape
        if dtype.kind == "V":
            dtype = np.dtype("<u2")
        array = np.empty(shape[::-1] if fortran else shape, dtype)
        try:
            _read_member(self.path, info, start, array)
        except (OSError, zlib.error, struct.error, EOFError) as error:
            raise broken(
                self.path, f"{info.filename!r} cannot be read, {error}", "a .npz file"
            ) from error
        return array.transpose() if fortran else array


def _check_directory(path: Any, infos: list[zipfile.ZipInfo], size: int) -> None:
    """Checks names and promised sizes before anything is unpacked."""
    twice = [name for name, count in Counter(info.filename for info in infos).items() if count > 1]
    if twice:
        raise broken(path, f"members that occur twice: {twice[:5]}", "a .npz file")
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise broken(
                path, f"a member that is no array, {info.filename!r}", "a .npz file of arrays"
            )
        if info.flag_bits & 0x1:
            raise broken(path, f"an encrypted member, {info.filename!r}", "a .npz file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise broken(path, f"an unusual compression of {info.filename!r}", "a .npz file")
        if info.compress_size > size or (
            info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size
        ):
            raise broken(path, f"a wrong size of {info.filename!r}", "a .npz file")
    total = sum(info.file_size for info in infos)
    if total > max(_MAX_GROWTH * size, _ALWAYS_ALLOWED_BYTES):
        raise broken(path, f"{size} bytes that would grow to {total}", "a .npz file")


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
    except ValueError as error:
        raise broken(path, f"{info.filename!r} is no .npy array, {error}", "a .npz file") from error
    if dtype.hasobject:
        raise ValueError(
            f"Expected plain arrays in {os.fspath(path)!r}. Received: {info.filename!r} is a "
            "pickle (dtype object), which could run code and is never read. Save float arrays."
        )
    if dtype.names is not None or dtype.subdtype is not None or any(side < 0 for side in shape):
        raise broken(path, f"{info.filename!r} has dtype {dtype}, shape {shape}", "a .npz file")
    return tuple(shape), fortran, dtype


def _read_member(path: str, info: zipfile.ZipInfo, start: int, array: np.ndarray) -> None:
    """Fills `array` with the bytes of one member behind its header; verifies the checksum."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        fields = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if fields[0] != b"PK\x03\x04":
            raise EOFError("its local header is damaged")
        file.seek(fields[9] + fields[10], os.SEEK_CUR)
        target = (
            memoryview(array.reshape(-1).view(np.uint8)) if array.size else memoryview(bytearray())
        )
        if info.compress_type == zipfile.ZIP_STORED:
            checksum = zlib.crc32(file.read(start))
            checksum = _fill_stored(file, target, checksum)
        else:
            checksum = _fill_deflated(file, info.compress_size, start, target)
    if checksum != info.CRC:
        raise EOFError("its checksum (CRC) is wrong")


def _fill_stored(file: Any, target: memoryview, checksum: int) -> int:
    for begin in range(0, len(target), _CHUNK):
        part = target[begin : begin + _CHUNK]
        if file.readinto(part) != len(part):
            raise EOFError("it is cut off")
        checksum = zlib.crc32(part, checksum)
    return checksum


def _fill_deflated(file: Any, left: int, skip: int, target: memoryview) -> int:
    """Inflates into `target`, leaving out the first `skip` bytes; never more than it can hold."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    checksum, position, total = 0, -skip, len(target)
    while position < total:
        if inflater.unconsumed_tail:
            data = inflater.unconsumed_tail
        else:
            data = file.read(min(_CHUNK, left))
            left -= len(data)
        part = inflater.decompress(data, min(_CHUNK, total - position))
        if not part and (inflater.eof or not data):
            raise EOFError("it is shorter than promised")
        checksum = zlib.crc32(part, checksum)
        begin = max(position, 0)
        fresh = part[max(-position, 0) :] if position < 0 else part
        target[begin : begin + len(fresh)] = fresh
        position += len(part)
    return checksum
